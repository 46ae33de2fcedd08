"""A link that serves one scheduler packet by packet, in simulated time: what an order is worth on given arrivals.

Streams come whole or in pieces, a packet leaves when the one before it has, and a stream has arrived a fixed delay
after its last byte left. There is no loss, no window and no feedback: the link is busy whenever somebody has something
to send. What the scheduler is told of the path may differ from what the link does.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from policies.scheduling.base import PathEstimate, Scheduler, StreamOrder
from policies.traffic import NO_DEADLINE, Level

_T = TypeVar("_T")

PACKET_BYTES = 1200
"""What aioquic puts into a datagram before it knows the path's limit; RFC 9000, section 14, lets no path carry less."""

Rate = Callable[[float], float]
"""Bytes a second at a time in seconds."""
Estimate = Callable[[float], PathEstimate]
"""What the scheduler is told at a time in seconds."""


class Job(NamedTuple):
    """One message to send."""

    arrived_at: float
    """Seconds from the beginning."""
    size_bytes: int
    deadline: float = NO_DEADLINE
    """When the last byte is due at the other end; seconds from the beginning."""
    weight: float = 1.0
    priority: int = 0
    level: Level = "low"
    piece_bytes: int = 0
    """How much of it is written at a time, the next piece once half of the one before has been sent; 0 for all."""


class Finish(NamedTuple):
    """What became of a job."""

    job: Job
    finished_at: float
    """When its last byte was at the other end."""

    @property
    def on_time(self) -> bool:
        """True if it met its deadline."""
        return self.finished_at <= self.job.deadline


def simulate(
    scheduler: Scheduler,
    jobs: Sequence[Job],
    *,
    rate: float | Rate,
    delay_s: float = 0.0,
    estimate: PathEstimate | Estimate | None = None,
    packet_bytes: int = PACKET_BYTES,
) -> list[Finish]:
    """Send all jobs; what became of them, in their order.

    `rate` is in bytes a second; `estimate` is what the scheduler hears before each packet: without one the truth, with
    a round trip of twice the delay.
    """
    rate_at = rate if callable(rate) else _constant(rate)
    path_at: Estimate
    if estimate is None:

        def path_at(now: float) -> PathEstimate:
            return PathEstimate(rate_at(now), 2 * delay_s, delay_s)

    else:
        path_at = estimate if callable(estimate) else _constant(estimate)
    link = _Link(scheduler, jobs)
    now = 0.0
    while True:
        link.arrive(now)
        if len(scheduler) == 0:
            if link.next_arrival_at is None:
                break
            now = max(now, link.next_arrival_at)
            continue
        scheduler.on_path(path_at(now), now=now)
        index, size = link.send(packet_bytes, now)
        now += size / rate_at(now)
        if link.unsent_bytes(index) == 0:
            link.finished_at[index] = now + delay_s
    return [Finish(job, finished_at) for job, finished_at in zip(jobs, link.finished_at, strict=True)]


def weighted_on_time(finishes: Sequence[Finish]) -> float:
    """The weight that was on time as a share of all weight; 1 where there is none."""
    total = sum(finish.job.weight for finish in finishes)
    return sum(finish.job.weight for finish in finishes if finish.on_time) / total if total else 1.0


class _Link:
    """The sending end: which job is which stream, and what of it is written and sent."""

    def __init__(self, scheduler: Scheduler, jobs: Sequence[Job]) -> None:
        self._scheduler = scheduler
        self._jobs = jobs
        self._arrivals = [(job.arrived_at, index) for index, job in enumerate(jobs)]
        heapq.heapify(self._arrivals)
        self._written = [0] * len(jobs)
        self._sent = [0] * len(jobs)
        self.finished_at = [NO_DEADLINE] * len(jobs)

    @property
    def next_arrival_at(self) -> float | None:
        return self._arrivals[0][0] if self._arrivals else None

    def arrive(self, now: float) -> None:
        while self._arrivals and self._arrivals[0][0] <= now:
            self._write(heapq.heappop(self._arrivals)[1], now)

    def send(self, packet_bytes: int, now: float) -> tuple[int, int]:
        """One packet of the scheduler's choice; returns the job and the bytes."""
        stream_id = self._scheduler.next(now=now)
        if stream_id is None:
            raise AssertionError(f"{self._scheduler!r} has streams and names none")
        index = stream_id // 4
        size = min(packet_bytes, self._written[index] - self._sent[index])
        self._sent[index] += size
        job = self._jobs[index]
        left = self._written[index] - self._sent[index]
        if left == 0:
            self._scheduler.remove(stream_id)
        else:
            self._scheduler.served(stream_id, sent_bytes=size, now=now)
        if self._written[index] < job.size_bytes and left <= job.piece_bytes / 2:
            self._write(index, now)
        return index, size

    def unsent_bytes(self, index: int) -> int:
        return self._jobs[index].size_bytes - self._sent[index]

    def _write(self, index: int, now: float) -> None:
        job = self._jobs[index]
        piece = job.piece_bytes or job.size_bytes
        self._written[index] = min(job.size_bytes, self._written[index] + piece)
        order = StreamOrder(4 * index, job.arrived_at, job.deadline, job.priority, job.level, job.weight)
        self._scheduler.add(order, unsent_bytes=self._written[index] - self._sent[index], now=now)


def _constant(value: _T) -> Callable[[float], _T]:
    def at(now: float) -> _T:
        del now
        return value

    return at
