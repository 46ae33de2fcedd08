"""An incoming call whose answer has many messages, with a look at when each of them is sent."""

from __future__ import annotations

import math

from proxy.clock import Clock
from proxy.tunnel.exchange import CallHead, CallStatus, IncomingCall, Metadata


class StreamedAnswer:
    """An `IncomingCall` that notes whether each message of its answer was sent in time.

    The first one is due as long after the first message of the request as the call's deadline is after its arrival,
    because clients open a stream before they have something to send; each later one `token_deadline_s` after the one
    before, or, where that is infinite, when the first was. Another message of the request puts that off to as long
    after itself as the first had. Sent is when there is room for another message: a client that reads slowly gets its
    messages late. `head.times` is told of the first ones.
    """

    def __init__(self, incoming: IncomingCall, head: CallHead, *, token_deadline_s: float, clock: Clock) -> None:
        self._incoming = incoming
        self._budget_s = head.deadline.target_at - head.accepted_at
        self._due_at = head.deadline.target_at
        self._limit_at = head.deadline.limit_at
        self._token_deadline_s = token_deadline_s
        self._clock = clock
        self._requested = False
        self._times = head.times
        self.late: list[int] = []
        """Which messages were late, from 0."""
        self.messages = 0
        """How many were sent."""
        self.first_due_at = head.deadline.target_at
        """When the first message was due."""
        self.least_slack_s = math.inf
        """What was left of its deadline when the tightest message was sent."""
        self.first_message_at: float | None = None
        """When the first message was sent; None before."""

    def __repr__(self) -> str:
        return f"<StreamedAnswer on_time={self.on_time} {self._incoming!r}>"

    @property
    def on_time(self) -> bool | None:
        """Whether all messages so far were sent in time; None before the first."""
        return None if self.first_message_at is None else not self.late

    @property
    def head(self) -> CallHead:
        """The call's own."""
        return self._incoming.head

    async def receive(self) -> bytes | None:
        """The next message."""
        message = await self._incoming.receive()
        if message is None:
            return None
        now = self._clock.now()
        due_at = min(now + self._budget_s, self._limit_at)
        if not self._requested:
            self._requested = True
            self._due_at = self.first_due_at = due_at
            if self._times is not None:
                self._times.received_at = now
        elif self.messages:
            self._due_at = max(self._due_at, due_at)
        return message

    async def send_initial_metadata(self, metadata: Metadata) -> None:
        """As the call does."""
        await self._incoming.send_initial_metadata(metadata)

    async def send(self, message: bytes) -> None:
        """As the call does."""
        await self._incoming.send(message)
        now = self._clock.now()
        if self.first_message_at is None:
            self.first_message_at = now
            if self._times is not None:
                self._times.delivered_at = now
        if now > self._due_at:
            self.late.append(self.messages)
        self.least_slack_s = min(self.least_slack_s, self._due_at - now)
        self.messages += 1
        if self._token_deadline_s != float("inf"):
            self._due_at = min(now + self._token_deadline_s, self._limit_at)

    async def finish(self, status: CallStatus) -> None:
        """As the call does."""
        await self._incoming.finish(status)
