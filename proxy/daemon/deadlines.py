"""Ends a call that is late: at its gRPC deadline always, at its class's deadline where the class says `on_miss: fail`.

The gRPC deadline is for the whole call. The class's is for the answer to begin: for a call with one message each way
that is the answer; a stream that has begun to answer is not cut off for a late message, which counts as a miss
elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from policies.traffic import NO_DEADLINE, TrafficClass
from proxy.clock import Clock
from proxy.daemon import trailers
from proxy.errors import CallError, Code
from proxy.tunnel.exchange import CallHead, CallStatus, IncomingCall, Metadata

LATE = "Deadline Exceeded"
"""The text that grpc's own clients and servers have for it."""

T = TypeVar("T")


class Limit:
    """Until when one call's story may go on.

    Deadlines are on the process's monotonic clock, which is the event loop's, so they need no translation to be its
    timeouts.
    """

    def __init__(self, head: CallHead, traffic_class: TrafficClass | None) -> None:
        self._class = traffic_class
        self._limit_at = head.deadline.limit_at
        self._target_at = head.deadline.target_at
        self._budget_s = head.deadline.target_at - head.accepted_at
        self._times = head.times
        self._answer_by = NO_DEADLINE
        self._scope: asyncio.Timeout | None = None

    @property
    def fails(self) -> bool:
        """Whether an answer that is late for the class's deadline is to be failed."""
        return self._class is not None and self._class.on_miss == "fail" and self._target_at != NO_DEADLINE

    @property
    def needed(self) -> bool:
        """Whether there is anything to watch over."""
        return self._limit_at != NO_DEADLINE or self.fails

    @property
    def target_at(self) -> float:
        """When the answer to a call's only message is due."""
        return self._target_at

    def target_of_message(self, *, received_at: float) -> float:
        """When the answer to the message of a stream is due that was received last.

        Where the proxy has not said, as much later as the message came later than the call: what it waited longer than
        that is not known.
        """
        said_at = self._times.due_at if self._times is not None else 0.0
        return said_at or received_at + self._budget_s

    def answer_by(self, at: float) -> None:
        """Have the call fail at this instant, if its class says so; `answered` or `NO_DEADLINE` calls that off."""
        if self.fails:
            self._answer_by = at
            self._arm()

    def answered(self) -> None:
        """The answer has begun."""
        if self._answer_by != NO_DEADLINE:
            self._answer_by = NO_DEADLINE
            self._arm()

    async def hold(self, story: Awaitable[T]) -> T:
        """Run the story. When its time is up it is cancelled, and a CallError says which deadline has passed."""
        try:
            async with asyncio.timeout(None) as self._scope:
                self._arm()
                return await story
        except TimeoutError:
            if self._scope is None or not self._scope.expired():
                raise
            raise self._late() from None

    def _arm(self) -> None:
        if self._scope is None or self._scope.expired():
            return
        when = min(self._limit_at, self._answer_by)
        self._scope.reschedule(None if when == NO_DEADLINE else when)

    def _late(self) -> CallError:
        if self._class is None or self._limit_at <= self._answer_by:
            return CallError(Code.DEADLINE_EXCEEDED, LATE)
        return CallError(
            Code.DEADLINE_EXCEEDED,
            f"the deadline of class {self._class.name} passed before the answer began",
            reason=trailers.DEADLINE_EXPIRED,
        )


class AnswerWatch:
    """An incoming call that tells a `Limit` when its answer begins, and of a stream when that is due.

    It is due as long after the stream's first message as the class allows: a client opens a stream before it has
    something to send.
    """

    def __init__(self, incoming: IncomingCall, limit: Limit, *, clock: Clock) -> None:
        self._incoming = incoming
        self._limit = limit
        self._clock = clock
        self._waiting = not incoming.head.unary

    @property
    def head(self) -> CallHead:
        """The call's own."""
        return self._incoming.head

    async def receive(self) -> bytes | None:
        """The next message."""
        message = await self._incoming.receive()
        if self._waiting:
            self._waiting = False
            self._limit.answer_by(self._limit.target_of_message(received_at=self._clock.now()))
        return message

    async def send_initial_metadata(self, metadata: Metadata) -> None:
        """Headers are no answer yet."""
        await self._incoming.send_initial_metadata(metadata)

    async def send(self, message: bytes) -> None:
        """The answer has begun."""
        self._waiting = False
        self._limit.answered()
        await self._incoming.send(message)

    async def finish(self, status: CallStatus) -> None:
        """An end is an answer."""
        self._limit.answered()
        await self._incoming.finish(status)
