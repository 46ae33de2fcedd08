"""How long one model on one Triton takes, as measured beforehand: what policies predict with and the simulator runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class TokenProfile:
    """How long a model with continuous batching takes to read a prompt and to write tokens."""

    prefill_s_per_token: float
    """Seconds for each prompt token of one request."""
    prefill_base_s: float
    """Seconds that reading a prompt takes whatever its length."""
    step_s: tuple[tuple[int, float], ...]
    """(sequences in the running batch, seconds a decoding step takes), ascending; the first is for 1 sequence."""
    max_sequences: int
    """How many sequences the running batch may have. Not above the largest in `step_s`."""
    _step: tuple[float, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if min(self.prefill_s_per_token, self.prefill_base_s) < 0:
            raise ValueError("prefill times must not be negative")
        object.__setattr__(self, "_step", _table("step_s", self.step_s, self.max_sequences))

    def prefill(self, prompt_tokens: int) -> float:
        """Seconds to read a prompt."""
        return self.prefill_base_s + self.prefill_s_per_token * prompt_tokens

    def step(self, sequences: int) -> float:
        """Seconds of one decoding step; raises ValueError outside 1 to `max_sequences`."""
        if not 1 <= sequences <= self.max_sequences:
            raise ValueError(f"{sequences} sequences, and the profile has 1 to {self.max_sequences}")
        return self._step[sequences - 1]


@dataclass(frozen=True, slots=True)
class Profile:
    """How long one model on one Triton takes, by batch size. Raises ValueError on values that contradict each other."""

    latency_s: tuple[tuple[int, float], ...]
    """(batch size, seconds from the batch's start to its answers), ascending, first for batch 1; medians."""
    deviation: float = 0.0
    """Standard deviation of a latency over its mean; the simulator's spread is lognormal with it."""
    p95_over_p50: float = 1.0
    """95th percentile of a latency over its median: decisions reckon with the former."""
    instances: int = 1
    """How many batches run at the same time (Triton's instance group)."""
    max_batch: int = 0
    """Largest batch that is run, not above the largest in `latency_s`; 0 becomes that largest."""
    batch_delay_s: float = 0.0
    """How long a request may wait for others to join its batch (Triton's max_queue_delay)."""
    preferred: tuple[int, ...] = ()
    """Batch sizes that start at once (Triton's preferred_batch_size); empty: any."""
    tokens: TokenProfile | None = None
    """Set for a model that streams tokens; `latency_s` is then that of a whole answer of the usual length."""
    _latency: tuple[float, ...] = field(init=False, repr=False, compare=False)
    _peak_rate: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.instances < 1:
            raise ValueError("a model has at least one instance")
        if self.deviation < 0 or self.p95_over_p50 < 1 or self.batch_delay_s < 0:
            raise ValueError("deviation and batch_delay_s must not be negative, p95_over_p50 not below 1")
        if self.latency_s and not self.max_batch:
            object.__setattr__(self, "max_batch", self.latency_s[-1][0])
        object.__setattr__(self, "_latency", _table("latency_s", self.latency_s, self.max_batch))
        if any(not 1 <= batch <= self.max_batch for batch in self.preferred):
            raise ValueError(f"preferred batches {self.preferred} are not within 1 to {self.max_batch}")
        best = max(batch / latency for batch, latency in enumerate(self._latency, 1))
        if self.tokens is not None:
            largest = self.tokens.max_sequences
            best = max(best, largest / self._latency[0] * self.tokens.step(1) / self.tokens.step(largest))
        object.__setattr__(self, "_peak_rate", self.instances * best)

    def at(self, batch: int) -> float:
        """Median seconds of a batch, linear between listed sizes; raises ValueError outside 1 to `max_batch`."""
        if not 1 <= batch <= self.max_batch:
            raise ValueError(f"batch of {batch}, and the profile has 1 to {self.max_batch}")
        return self._latency[batch - 1]

    def p95(self, batch: int) -> float:
        """95th percentile of the seconds of a batch; raises ValueError outside 1 to `max_batch`."""
        return self.at(batch) * self.p95_over_p50

    @property
    def peak_rate(self) -> float:
        """Requests a second that it answers at most: all instances busy with the batch that has the best rate.

        For token streams answers of the usual length, as many at a time as the running batch takes, each at the pace of
        that batch.
        """
        return self._peak_rate


def _table(name: str, points: Sequence[tuple[int, float]], largest: int) -> tuple[float, ...]:
    """Seconds for 1, 2, … `largest`, linear between the points."""
    sizes = [size for size, _ in points]
    if not points or sizes[0] != 1 or any(a >= b for a, b in pairwise(sizes)):
        raise ValueError(f"{name} must list ascending sizes from 1, not {sizes}")
    if not 1 <= largest <= sizes[-1]:
        raise ValueError(f"{name} lists sizes to {sizes[-1]}, and {largest} is asked for")
    if any(not 0 < seconds < math.inf for _, seconds in points):
        raise ValueError(f"{name} must have times above 0 s")
    table = [points[0][1]]
    for (size_a, seconds_a), (size_b, seconds_b) in pairwise(points):
        slope = (seconds_b - seconds_a) / (size_b - size_a)
        table.extend(seconds_a + slope * (size - size_a) for size in range(size_a + 1, size_b))
        table.append(seconds_b)
    return tuple(table[:largest])
