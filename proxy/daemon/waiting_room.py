"""Where the requests of a route wait whose policy decides late: the event loop's side of `late_queue`.

It decides again when a request came, ended or was given up, when a model is ready or not any more, and at the time that
the last decision named: one timer, and nothing is asked in between. What comes in one turn of the loop is decided
together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass

from policies.selection.base import Request
from proxy.clock import Clock, MonotonicClock
from proxy.daemon.guard import GuardStatistics
from proxy.daemon.late_queue import LateQueue, Released
from proxy.daemon.load import ModelLoad


@dataclass(frozen=True, slots=True)
class WaitingStatistics:
    """What waits."""

    requests: int = 0
    held_bytes: int = 0
    """Length of their messages."""


class RoomFullError(Exception):
    """No more bytes can wait; the text says how many do."""


class WaitingRoom:
    """The requests of one route that wait. `decided` is told the seconds of each decision.

    At most `capacity_bytes` wait, or a single request. Timers are the event loop's, whose clock `clock` is to be.
    """

    def __init__(
        self,
        queue: LateQueue,
        *,
        capacity_bytes: int,
        clock: Clock,
        decided: Callable[[float], None],
        timer: Clock | None = None,
    ) -> None:
        self._queue = queue
        self._capacity_bytes = capacity_bytes
        self._clock = clock
        self._decided = decided
        self._timer = timer or MonotonicClock()
        self._waiters: dict[Hashable, asyncio.Future[Released]] = {}
        self._soon: asyncio.Handle | None = None
        self._later: asyncio.TimerHandle | None = None
        for load in queue.loads:
            load.watch(self)

    def __repr__(self) -> str:
        return f"<WaitingRoom {self._queue!r}>"

    def statistics(self) -> WaitingStatistics:
        """What waits now."""
        return WaitingStatistics(len(self._queue), self._queue.held_bytes)

    def guard(self) -> GuardStatistics:
        """Of the planner's decisions, and of those that were not its own."""
        return self._queue.statistics()

    async def wait(self, request: Request, *, way_back_deviation_s: float, barred: Collection[int] = ()) -> Released:
        """Wait until it is decided what is to become of a request, which `barred` candidates have failed.

        With a model in the answer, the request goes there under the answer's key, before anything is awaited. Raises
        RoomFullError.
        """
        waiting = self._queue.held_bytes
        if waiting and waiting + request.size_bytes > self._capacity_bytes:
            raise RoomFullError(f"{waiting} bytes wait already, and {self._capacity_bytes} may")
        key = object()
        decided = self._queue.hold(
            key,
            due_at=request.deadline_at - request.way_back_s,
            way_back_deviation_s=way_back_deviation_s,
            weight=request.weight,
            size_bytes=request.size_bytes,
            barred=barred,
            now=self._clock.now(),
        )
        if decided is not None:
            return decided
        waiter: asyncio.Future[Released] = asyncio.get_running_loop().create_future()
        self._waiters[key] = waiter
        self._wake()
        try:
            return await waiter
        except asyncio.CancelledError:
            self._waiters.pop(key, None)
            self._queue.give_up(key, now=self._clock.now())
            self._wake()
            raise

    def close(self) -> None:
        """Decide no more: what waits is for the route's policy."""
        for load in self._queue.loads:
            load.unwatch(self)
        self._cancel_timers()
        self._release(self._queue.release_all())

    def sent(self, load: ModelLoad, key: Hashable, *, now: float) -> None:
        """See `LoadWatcher`."""
        self._queue.sent(load, key, now=now)

    def ended(self, load: ModelLoad, key: Hashable, *, answered: bool, now: float) -> None:
        """See `LoadWatcher`."""
        self._queue.ended(load, key, answered=answered, now=now)
        self._wake()

    def readiness_changed(self) -> None:
        """See `LoadWatcher`."""
        self._wake()

    def _wake(self) -> None:
        if self._soon is None and len(self._queue):
            self._soon = asyncio.get_running_loop().call_soon(self._decide, self._clock.now())

    def _decide(self, at_least: float) -> None:
        """A timer may ring up to a millisecond before its time: it has come nevertheless."""
        self._cancel_timers()
        began_at = self._timer.now()
        decided = self._queue.decide(now=max(self._clock.now(), at_least))
        self._decided(self._timer.now() - began_at)
        self._release(decided.released)
        if len(self._queue) and decided.again_at < float("inf"):
            at = decided.again_at
            self._later = asyncio.get_running_loop().call_at(at, self._decide, at)

    def _release(self, released: Collection[Released]) -> None:
        for one in released:
            waiter = self._waiters.pop(one.key, None)
            if waiter is not None and not waiter.done():
                waiter.set_result(one)
            elif one.position is not None:
                self._queue.give_up(one.key, now=self._clock.now())

    def _cancel_timers(self) -> None:
        for handle in (self._soon, self._later):
            if handle is not None:
                handle.cancel()
        self._soon = self._later = None
