"""A model with Triton's dynamic batching: one queue, batches that are made of it, instances that take batches.

As in Triton 2.51 batches are made while the instances are busy, two for each instance and no more ahead of time, and
one that has not begun may still grow. A batch grows to a preferred size (without any, to the maximum), and no further
if there is no delay. With a delay, what does not fill a preferred size stays in the queue until the oldest has waited
that long, and joins then, whatever size that makes. An idle instance takes what there is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from policies.profile import Profile
from policies.simulation.model import Later, Outcomes, Spread

AHEAD = 2
"""Batches that wait for an instance, for each: of 1, 2 and any number this one gives the batches that Triton made."""


class BatchingModel:
    """A `Model`. `index` is its position among the candidates."""

    __slots__ = (
        *("_ahead", "_delay_s", "_factor", "_free", "_growing", "_index", "_latency", "_later"),
        *("_made", "_max_batch", "_outcomes", "_preferred", "_queue", "_running", "_spread", "_woken_at"),
    )

    def __init__(self, index: int, profile: Profile, *, spread: Spread, outcomes: Outcomes, later: Later) -> None:
        self._index = index
        self._latency = (0.0, *(profile.at(batch) for batch in range(1, profile.max_batch + 1)))
        self._max_batch = profile.max_batch
        self._delay_s = profile.batch_delay_s
        self._preferred = tuple(sorted(profile.preferred or (profile.max_batch,), reverse=True))
        self._free = profile.instances
        self._ahead = AHEAD * profile.instances
        self._spread = spread
        self._outcomes = outcomes
        self._later = later
        self._factor = 1.0
        self._queue: deque[tuple[int, float]] = deque()
        self._made: deque[list[int]] = deque()  # batches that wait for an instance and are full
        self._growing: list[int] = []  # the one behind them
        self._running: list[list[int]] = []
        self._woken_at = -1.0

    def __repr__(self) -> str:
        queued = sum(map(len, self._made)) + len(self._growing) + len(self._queue)
        return f"<BatchingModel {self._index} {queued} queued, batches {self._running}>"

    def submit(self, key: int, *, now: float) -> None:
        """It joins the queue."""
        self._queue.append((key, now))
        self._advance(now)

    def withdraw(self, key: int) -> None:
        """Out of the queue, or a batch that has not begun, if it is there."""
        for batch in (*self._made, self._growing):
            if key in batch:
                batch.remove(key)
                if not batch and batch is not self._growing:
                    self._made.remove(batch)
                return
        for entry in self._queue:
            if entry[0] == key:
                self._queue.remove(entry)
                return

    def due(self, what: object, *, now: float) -> None:
        """A batch ends, or the queue's oldest request has waited long enough."""
        if isinstance(what, list) and any(what is batch for batch in self._running):
            self._running = [batch for batch in self._running if batch is not what]
            self._free += 1
            self._outcomes.answered(self._index, what, 0.0, now)
        self._advance(now)

    def fail(self, *, now: float) -> None:
        """Queue and batches are lost."""
        waiting = [*(key for batch in self._made for key in batch), *self._growing, *(key for key, _ in self._queue)]
        lost: Sequence[int] = [*(key for batch in self._running for key in batch), *waiting]
        self._free += len(self._running)
        self._running = []
        self._made.clear()
        self._growing = []
        self._queue.clear()
        self._outcomes.failed(self._index, lost, now)

    def slow(self, factor: float) -> None:
        """Batches that start from now on."""
        self._factor = factor

    def _advance(self, now: float) -> None:
        while True:
            if self._free and self._made:
                self._start(self._made.popleft(), now)
            elif self._free and self._growing:
                batch, self._growing = self._growing, []
                self._start(batch, now)
            elif not self._queue or len(self._made) + bool(self._growing) >= self._ahead or not self._gather(now):
                return

    def _start(self, batch: list[int], now: float) -> None:
        self._free -= 1
        self._running.append(batch)
        self._later(now + self._latency[len(batch)] * self._factor * self._spread.next(), batch)

    def _gather(self, now: float) -> bool:
        """Let requests of the queue join the growing batch; whether any did."""
        there, largest = len(self._growing), self._preferred[0]
        together = min(there + len(self._queue), self._max_batch)
        size = there
        for preferred in self._preferred:
            if there < preferred <= together:
                size = preferred
                break
        full = there >= largest
        until = self._queue[0][1] + self._delay_s
        if size > there and (not self._delay_s or now < until):
            full = full or not self._delay_s
        elif together >= largest or not self._delay_s or now >= until:
            size = together
            full = full or together >= largest
        else:
            if self._woken_at < until:
                self._woken_at = until
                self._later(until, None)
            return False
        self._growing.extend(self._queue.popleft()[0] for _ in range(size - there))
        if full:
            self._made.append(self._growing)
            self._growing = []
        return True
