"""A model with continuous batching: sequences join and leave the running batch between steps.

A step either reads the prompts of all sequences that are let in, one after the other, and ends with the first token of
each; or it writes one more token of every sequence. Prompts go first, so that those who write pause meanwhile. A
sequence is let in when a place is free, in order of arrival. Cost of a step does not grow with the sequences in it.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence

from policies.profile import TokenProfile
from policies.simulation.model import Later, Outcomes, Spread


class ContinuousModel:
    """A `Model`. `index` is its position among the candidates, `prompts` and `answers` are tokens by request."""

    __slots__ = (
        *("_active", "_answers", "_ending", "_factor", "_fresh", "_gap_steps", "_gaps", "_index", "_later"),
        *("_outcomes", "_profile", "_prompts", "_queue", "_reading", "_spread", "_steps", "_wrote_at"),
    )

    def __init__(
        self,
        index: int,
        profile: TokenProfile,
        *,
        prompts: Sequence[int],
        answers: Sequence[int],
        spread: Spread,
        outcomes: Outcomes,
        later: Later,
    ) -> None:
        self._index = index
        self._profile = profile
        self._prompts = prompts
        self._answers = answers
        self._spread = spread
        self._outcomes = outcomes
        self._later = later
        self._factor = 1.0
        self._queue: deque[int] = deque()
        self._reading: list[int] | None = None
        # The step under way: the keys whose prompts are read, empty while tokens are written; None for no step.
        self._steps = 0
        self._ending: list[tuple[int, int]] = []  # (step that writes the last token, key)
        self._active: dict[int, tuple[int, float]] = {}  # key → the step of its second token, the gap before that
        self._fresh: list[tuple[int, float]] = []  # (key, time of its first token), since the last step that wrote
        # Gaps before steps, for whoever was there: only those that no later one has reached, so they descend.
        self._gap_steps: list[int] = []
        self._gaps: list[float] = []
        self._wrote_at = 0.0

    def __repr__(self) -> str:
        return f"<ContinuousModel {self._index} {len(self._queue)} queued, {len(self._active)} active>"

    def submit(self, key: int, *, now: float) -> None:
        """It joins the queue."""
        self._queue.append(key)
        if self._reading is None:
            self._step(now)

    def withdraw(self, key: int) -> None:
        """Out of the queue, or out of the running batch."""
        if key in self._queue:
            self._queue.remove(key)
        self._active.pop(key, None)
        self._fresh = [entry for entry in self._fresh if entry[0] != key]

    def due(self, what: object, *, now: float) -> None:
        """A step ends."""
        if what is not self._reading or self._reading is None:
            return
        if self._reading:
            self._read(self._reading, now)
        else:
            self._written(now)
        self._step(now)

    def fail(self, *, now: float) -> None:
        """Queue and running batch are lost."""
        lost = [*(self._reading or ()), *self._active, *self._queue]
        self._reading = None
        self._queue.clear()
        self._active.clear()
        self._fresh.clear()
        self._ending.clear()
        self._outcomes.failed(self._index, list(dict.fromkeys(lost)), now)

    def slow(self, factor: float) -> None:
        """Steps that start from now on."""
        self._factor = factor

    def _step(self, now: float) -> None:
        active = len(self._active)
        places = self._profile.max_sequences - active
        if self._queue and places > 0:
            keys = [self._queue.popleft() for _ in range(min(places, len(self._queue)))]
            seconds = sum(self._profile.prefill(self._prompts[key]) for key in keys)
        elif active:
            keys = []
            seconds = self._profile.step(active)
        else:
            self._reading = None
            self._gap_steps.clear()
            self._gaps.clear()
            return
        self._reading = keys
        self._later(now + seconds * self._factor * self._spread.next(), keys)

    def _read(self, keys: list[int], now: float) -> None:
        done = []
        for key in keys:
            if self._answers[key] == 1:
                done.append(key)
                continue
            self._active[key] = (self._steps + 1, 0.0)
            self._fresh.append((key, now))
            heapq.heappush(self._ending, (self._steps + self._answers[key] - 1, key))
            self._outcomes.began(self._index, key, now)
        if done:
            self._outcomes.answered(self._index, done, 0.0, now)

    def _written(self, now: float) -> None:
        self._steps += 1
        if len(self._active) > len(self._fresh):
            self._gap(now - self._wrote_at)
        for key, first_at in self._fresh:
            self._active[key] = (self._steps, now - first_at)
        self._fresh.clear()
        self._wrote_at = now
        while self._ending and self._ending[0][0] <= self._steps:
            _, key = heapq.heappop(self._ending)
            entry = self._active.pop(key, None)
            if entry is not None:
                self._outcomes.answered(self._index, (key,), self._longest(*entry), now)

    def _gap(self, seconds: float) -> None:
        gaps = self._gaps
        while gaps and gaps[-1] <= seconds:
            gaps.pop()
            self._gap_steps.pop()
        gaps.append(seconds)
        self._gap_steps.append(self._steps)

    def _longest(self, second_token: int, first_gap: float) -> float:
        after = bisect_right(self._gap_steps, second_token)
        return max(first_gap, self._gaps[after]) if after < len(self._gaps) else first_gap
