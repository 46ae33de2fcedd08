"""How long emulated models take, without Triton: batches of whole answers, and a running batch of token streams."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")

HANDOVER_S = 0.004
"""From the end of a batch to the beginning of a next one that waited in Triton's queue: the answers go out and the
requests come in meanwhile, 2.5 ms at least for 16 of 8 to 100 KB."""
BUSY_HANDOVER = 0.25
"""The same for a batch of several rows, as a share of its time. Triton hands a single request to an idle model at once,
so several have waited for it: on two cores that other programs used, too, 20 to 50 ms in most of 30 such batches."""


class Spread:
    """Factors of times about the median, lognormal, as `policies.simulation.model.Spread`."""

    def __init__(self, deviation: float, seed: str) -> None:
        self._sigma = math.sqrt(math.log1p(deviation**2))
        self._generator = random.Random(seed)

    def next(self) -> float:
        """The next factor."""
        return self._generator.lognormvariate(0.0, self._sigma) if self._sigma else 1.0


class BatchPacing:
    """When the batches of one instance end. `seconds` are those of a batch of 1, 2, … rows."""

    def __init__(self, seconds: Sequence[float], spread: Spread) -> None:
        self._seconds = seconds
        self._spread = spread
        self._free_at = -math.inf
        self._answered_at = -math.inf

    def begin(self, rows: int, *, now: float) -> float:
        """When the batch that Triton hands over now is to end. `answered` follows.

        One that comes soon after the last was answered began when that was to end: it waited in the queue, and what the
        handover takes is none of the model's time. Without that, a model would lose some of its rate.
        """
        seconds = self._seconds[min(rows, len(self._seconds)) - 1]
        waited = now - self._answered_at < (seconds * BUSY_HANDOVER if rows > 1 else HANDOVER_S)
        self._free_at = (self._free_at if waited else now) + seconds * self._spread.next()
        return self._free_at

    def answered(self, *, now: float) -> None:
        """The batch's answers go out: later than they were to, where the machine is busy."""
        self._answered_at = now


@dataclass(slots=True, eq=False)
class Stream(Generic[T]):
    """One token stream in a running batch."""

    owner: T
    prompt_tokens: int
    tokens_left: int


@dataclass(slots=True)
class Step(Generic[T]):
    """One step of a running batch: it reads prompts, or writes a token of every sequence."""

    seconds: float
    writes: list[Stream[T]] = field(default_factory=list)
    """Whose token is there when it ends."""


class RunningBatch(Generic[T]):
    """Continuous batching, as `policies.simulation.continuous` has it.

    A step either reads the prompts of all sequences that are let in, one after the other, and ends with the first token
    of each; or it writes one more token of every sequence. Prompts go first. A sequence is let in when a place is free,
    in order of arrival.
    """

    def __init__(
        self, *, prefill_s: float, prefill_s_per_token: float, step_s: Sequence[float], spread: Spread
    ) -> None:
        self._prefill_s = prefill_s
        self._prefill_s_per_token = prefill_s_per_token
        self._step_s = step_s
        self._spread = spread
        self._waiting: deque[Stream[T]] = deque()
        self._active: list[Stream[T]] = []

    def __repr__(self) -> str:
        return f"<RunningBatch {len(self._waiting)} waiting, {len(self._active)} active>"

    @property
    def sequences(self) -> list[Stream[T]]:
        """All, those that are active first."""
        return [*self._active, *self._waiting]

    def join(self, sequence: Stream[T]) -> None:
        """It waits for a place."""
        self._waiting.append(sequence)

    def leave(self, sequence: Stream[T]) -> None:
        """It is cancelled, and its place is free from the next step on."""
        if sequence in self._active:
            self._active.remove(sequence)
        elif sequence in self._waiting:
            self._waiting.remove(sequence)

    def step(self) -> Step[T] | None:
        """The step that begins now; None with nothing to do."""
        places = len(self._step_s) - len(self._active)
        if self._waiting and places > 0:
            joining = [self._waiting.popleft() for _ in range(min(places, len(self._waiting)))]
            self._active += joining
            seconds = sum(self._prefill_s + self._prefill_s_per_token * each.prompt_tokens for each in joining)
            return Step(seconds * self._spread.next(), joining)
        if self._active:
            return Step(self._step_s[len(self._active) - 1] * self._spread.next(), list(self._active))
        return None

    def ended(self, step: Step[T]) -> list[tuple[Stream[T], bool]]:
        """The sequences that have a token by this step, and whether it is the last; those have left then."""
        written = []
        for sequence in step.writes:
            if sequence in self._active:
                sequence.tokens_left -= 1
                written.append((sequence, sequence.tokens_left <= 0))
        self._active = [each for each in self._active if each.tokens_left > 0]
        return written
