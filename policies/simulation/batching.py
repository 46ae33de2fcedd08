"""A model with Triton's dynamic batching: one queue, instances that take batches from it.

A free instance takes the largest batch that the queue has, up to the maximum. With preferred sizes it takes the largest
of those that the queue can fill; with a delay it waits, until a preferred size (or, without any, the maximum) is there
or the oldest request has waited that long, and then takes what there is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from policies.profile import Profile
from policies.simulation.model import Later, Outcomes, Spread


class BatchingModel:
    """A `Model`. `index` is its position among the candidates."""

    __slots__ = (
        *("_delay_s", "_factor", "_free", "_index", "_latency", "_later", "_max_batch"),
        *("_outcomes", "_preferred", "_queue", "_running", "_spread", "_woken_at"),
    )

    def __init__(self, index: int, profile: Profile, *, spread: Spread, outcomes: Outcomes, later: Later) -> None:
        self._index = index
        self._latency = (0.0, *(profile.at(batch) for batch in range(1, profile.max_batch + 1)))
        self._max_batch = profile.max_batch
        self._delay_s = profile.batch_delay_s
        self._preferred = tuple(sorted(profile.preferred, reverse=True))
        self._free = profile.instances
        self._spread = spread
        self._outcomes = outcomes
        self._later = later
        self._factor = 1.0
        self._queue: deque[tuple[int, float]] = deque()
        self._running: list[list[int]] = []
        self._woken_at = -1.0

    def __repr__(self) -> str:
        return f"<BatchingModel {self._index} {len(self._queue)} queued, batches {self._running}>"

    def submit(self, key: int, *, now: float) -> None:
        """It joins the queue."""
        self._queue.append((key, now))
        if self._free:
            self._start(now)

    def withdraw(self, key: int) -> None:
        """Out of the queue, if it is there."""
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
        if self._free:
            self._start(now)

    def fail(self, *, now: float) -> None:
        """Queue and batches are lost."""
        lost: Sequence[int] = [*(key for batch in self._running for key in batch), *(key for key, _ in self._queue)]
        self._free += len(self._running)
        self._running = []
        self._queue.clear()
        self._outcomes.failed(self._index, lost, now)

    def slow(self, factor: float) -> None:
        """Batches that start from now on."""
        self._factor = factor

    def _start(self, now: float) -> None:
        queue = self._queue
        while queue and self._free:
            size = self._size(now)
            if not size:
                return
            batch = [queue.popleft()[0] for _ in range(size)]
            self._free -= 1
            self._running.append(batch)
            self._later(now + self._latency[size] * self._factor * self._spread.next(), batch)

    def _size(self, now: float) -> int:
        """Of the batch to start now; 0 for none yet."""
        there = len(self._queue)
        if there >= self._max_batch and not self._preferred:
            return self._max_batch
        for preferred in self._preferred:
            if there >= preferred:
                return preferred
        if self._delay_s:
            until = self._queue[0][1] + self._delay_s
            if now < until:
                if self._woken_at < until:
                    self._woken_at = until
                    self._later(until, None)
                return 0
        return min(there, self._max_batch)
