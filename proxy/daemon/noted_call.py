"""A call to a backend that notes when its request went and its answer came."""

from __future__ import annotations

from proxy.clock import Clock
from proxy.tunnel.exchange import CallStatus, CallTimes, InitialMetadata, OutgoingCall


class NotedCall:
    """An `OutgoingCall` that notes, in the times of the call that it is made for, its first message each way."""

    def __init__(self, call: OutgoingCall, times: CallTimes, *, clock: Clock) -> None:
        self._call = call
        self._times = times
        self._clock = clock
        self.close_sending = call.close_sending
        self.cancel = call.cancel

    def __repr__(self) -> str:
        return f"<NotedCall {self._call!r}>"

    @property
    def peer(self) -> str:
        """The call's own."""
        return self._call.peer

    async def send(self, message: bytes, *, last: bool = False) -> None:
        """As the call does."""
        self._times.sent_at = self._times.sent_at or self._clock.now()
        await self._call.send(message, last=last)

    async def receive(self) -> InitialMetadata | bytes | CallStatus:
        """As the call does. Headers are no answer yet."""
        event = await self._call.receive()
        if not isinstance(event, InitialMetadata):
            self._times.answered_at = self._times.answered_at or self._clock.now()
        return event


def noted(call: OutgoingCall, times: CallTimes | None, *, clock: Clock) -> OutgoingCall:
    """The call, noted if there is somewhere to note it."""
    return call if times is None else NotedCall(call, times, clock=clock)
