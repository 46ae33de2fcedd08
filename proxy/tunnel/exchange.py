"""The port between those who speak for a call and those who carry it.

Speakers are `proxy.edge` and `proxy.daemon`; carriers are `proxy.quic`, `proxy.tcp` and gRPC itself (`proxy.http2`).

One call is seen from two sides. Whoever received it holds an `IncomingCall`: it reads the request and writes the
answer. Whoever makes it holds an `OutgoingCall`: it writes the request and reads the answer. A proxy is an
`IncomingCall` joined to an `OutgoingCall` by `proxy.relay`. Messages are opaque bytes without gRPC's five-byte prefix,
uncompressed.

Both `send` methods return when there is room for more, not when the bytes have left: that is all the back-pressure a
caller needs to respect. `receive` gives credit back to the sender at the other end.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, Protocol

from policies.traffic import Deadline

MetadataValue = str | bytes
"""`bytes` for keys that end in `-bin`, `str` (printable ASCII) for the others."""
Metadata = tuple[tuple[str, MetadataValue], ...]
"""End-to-end metadata in order; keys lower-case and possibly repeated; nothing hop-by-hop (`te`, `grpc-timeout`, …)."""


class FarTimes(NamedTuple):
    """When a call passed the daemon's stations, on the daemon's monotonic clock; None for those it has not passed."""

    received_at: float
    """The first message of the request was complete there."""
    asked_at: float | None
    """A policy was asked."""
    decided_at: float | None
    """It had decided."""
    sent_at: float | None
    """The request was handed to the backend."""
    begun_at: float | None
    """The model is thought to have begun on it."""
    answered_at: float
    """The first message of the answer, or the status of one without, was there."""


class CallTimes:
    """When one call passed its stations in this process, on its monotonic clock; 0.0 for those it has not passed.

    It travels in `CallHead.times`. Who carries the call and who speaks for it each note what they see; what nobody
    sees stays 0.0. At the proxy the callee is the daemon, at the daemon it is the backend.
    """

    __slots__ = (
        "_leaving",
        "_when_left",
        "answer_began_at",
        "answered_at",
        "asked_at",
        "begun_at",
        "decided_at",
        "delivered_at",
        "due_at",
        "ended_at",
        "far",
        "far_ahead_s",
        "first_due_at",
        "first_left_at",
        "last_left_at",
        "least_way_s",
        "received_at",
        "sent_at",
        "tells",
        "unacknowledged",
    )

    def __init__(self, *, tells: bool = False) -> None:
        self.tells = tells
        """Whether the caller is told of these times at the end of the answer."""
        self.received_at = 0.0
        """The first message of the request was complete here."""
        self.due_at = 0.0
        """When the answer to the message is due that was received last; of a stream, where the caller tells."""
        self.first_due_at = 0.0
        """The same of the message that was received first."""
        self.asked_at = 0.0
        self.decided_at = 0.0
        self.begun_at = 0.0
        """These three at the daemon, see `FarTimes`. The last is infinite while the request is thought to wait."""
        self.delivered_at = 0.0
        """The first message of the answer was handed on to the caller."""
        self.first_left_at = 0.0
        """The first byte of the answer's first message left for the caller."""
        self.last_left_at = 0.0
        """The last byte of the whole answer left."""
        self._leaving = False
        self._when_left: Callable[[], None] | None = None
        self.restart()

    def __repr__(self) -> str:
        return f"<CallTimes received_at={self.received_at:g} sent_at={self.sent_at:g} answered_at={self.answered_at:g}>"

    def restart(self) -> None:
        """The call is made anew, to another callee: forget how far it got at the one before."""
        self.sent_at = 0.0
        """The first byte of the request's first message left for the callee."""
        self.unacknowledged = False
        """Whether part of the request, of a call that was given up, is not known to have arrived."""
        self.answer_began_at = 0.0
        """The first byte of the answer's first message, or of the status of an answer without one, was here."""
        self.answered_at = 0.0
        """That first message, or status, was complete here."""
        self.ended_at = 0.0
        """The status was complete here."""
        self.far: FarTimes | None = None
        """What the daemon says of itself."""
        self.far_ahead_s: float | None = None
        """How far the daemon's clock is ahead of ours; None where that is not measured."""
        self.least_way_s = 0.0
        """The shortest that a byte takes from one end of the tunnel to the other; 0 where that is not measured."""

    def note_sent(self, at: float) -> None:
        """Set `sent_at`."""
        self.sent_at = at

    def note_first_left(self, at: float) -> None:
        """Set `first_left_at`."""
        self.first_left_at = at

    def will_tell_leaving(self) -> None:
        """The whole answer is written; `note_last_left` follows."""
        self._leaving = True

    def note_last_left(self, at: float) -> None:
        """Set `last_left_at`; 0.0: part of the answer will never leave."""
        self.last_left_at = at
        self._leaving = False
        callback, self._when_left = self._when_left, None
        if callback is not None:
            callback()

    def when_left(self, callback: Callable[[], None]) -> None:
        """Run `callback` once the answer has left, or never will; now, where nobody is going to tell."""
        if self._leaving:
            self._when_left = callback
        else:
            callback()


class CallHead(NamedTuple):
    """What is known of a call before its first message."""

    path: str
    """`/package.Service/Method`"""
    metadata: Metadata = ()
    traffic_class: str = ""
    """Name of the class that serves the call; empty until somebody has classified it."""
    deadline: Deadline = Deadline()
    """On this process's monotonic clock."""
    peer: str = ""
    """Who called, for logs and spans: an address without secrets."""
    accepted_at: float = 0.0
    """When the call arrived here, on this process's monotonic clock."""
    unary: bool = False
    """True where the carrier knows that exactly one message goes each way."""
    tunnel: str = ""
    """Address of the proxy whose tunnel brought the call; empty where it came straight from its client."""
    times: CallTimes | None = None
    """Where to note when the call passes; None where nobody wants to know."""

    def with_metadata(self, metadata: Metadata) -> CallHead:
        """The same call with other metadata."""
        return CallHead(
            self.path,
            metadata,
            self.traffic_class,
            self.deadline,
            self.peer,
            self.accepted_at,
            self.unary,
            self.tunnel,
            self.times,
        )


class InitialMetadata(NamedTuple):
    """The headers of an answer."""

    metadata: Metadata = ()


class CallStatus(NamedTuple):
    """How a call ended. The last event of every answer; an answer that has only this one is Trailers-Only."""

    code: int
    """gRPC status code, 0 is OK."""
    message: str = ""
    metadata: Metadata = ()
    """Trailing metadata."""
    retryable: bool = False
    """True when the callee surely never began on the call (refused stream, no connection), so that another may be
    tried."""

    @property
    def ok(self) -> bool:
        """True for status OK."""
        return self.code == 0


class OutgoingCall(Protocol):
    """A call that this process makes. `cancel` it unless its `CallStatus` has been received."""

    @property
    def peer(self) -> str:
        """Who is called, `host:port`, for spans; empty where that is not known, or not yet."""

    async def send(self, message: bytes, *, last: bool = False) -> None:
        """Send one message of the request; `last` half-closes. Returns when there is room for another.

        Once the call has ended the message is dropped without an error: `receive` tells how it ended.
        """

    async def close_sending(self) -> None:
        """Half-close: no more messages come. Does nothing if `send` had `last`."""

    async def receive(self) -> InitialMetadata | bytes | CallStatus:
        """The next event of the answer: at most one `InitialMetadata`, then messages, then exactly one `CallStatus`.

        Never raises for what happens to the call: a lost connection, too, is a `CallStatus` (UNAVAILABLE, naming the
        peer).
        """

    def cancel(self) -> None:
        """Give the call up: the callee is told to stop. Harmless once the call has ended."""


class IncomingCall(Protocol):
    """A call that somebody makes here. Whoever serves it must `finish` it.

    The carrier runs a `CallHandler` in a task of its own for each call and cancels that task when the caller goes away:
    it cancelled, its gRPC deadline passed, or its connection broke. So a handler sees that as `asyncio.CancelledError`,
    wherever it waits.
    """

    @property
    def head(self) -> CallHead:
        """What the caller sent before its first message."""

    async def receive(self) -> bytes | None:
        """The next message of the request, or None once the caller has half-closed."""

    async def send_initial_metadata(self, metadata: Metadata) -> None:
        """Send the answer's headers now. Optional: the first `send` sends empty ones."""

    async def send(self, message: bytes) -> None:
        """Send one message of the answer. Returns when there is room for another."""

    async def finish(self, status: CallStatus) -> None:
        """End the call. With nothing sent before, the answer is Trailers-Only. Does nothing if the caller went away."""


class Carrier(Protocol):
    """Something that can take a call to where it is answered: a tunnel, or a gRPC channel to a backend."""

    def open(self, head: CallHead) -> OutgoingCall:
        """Start a call. Does no waiting: what stands in the way is reported by `receive` as a `CallStatus`."""


CallHandler = Callable[[IncomingCall], Coroutine[Any, Any, None]]
"""Serves one call from its head to its status. An exception that escapes it becomes INTERNAL."""
