"""Calls made over gRPC: a `grpc.aio` channel as a carrier, by bytes."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import grpc
import grpc.aio
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # the stubs lack it
from grpc.aio._utils import _timeout_to_deadline as timeout_to_deadline

from policies.traffic import NO_DEADLINE
from proxy.clock import Clock
from proxy.errors import Code
from proxy.http2.statuses import from_grpc
from proxy.tasks import spawn
from proxy.tunnel.exchange import CallHead, CallStatus, InitialMetadata, Metadata, MetadataValue, OutgoingCall
from proxy.tunnel.metadata import end_to_end
from proxy.tunnel.tunnel import FailedCall

_TURNS_FOR_STATUS = 3
"""Turns of the event loop in which the status of a Trailers-Only answer follows its empty headers.

grpc does not tell such an answer from one with headers, but it completes both operations at once, while a status in a
frame of its own comes later."""
HEADERS_GRACE_S = 0.003
"""How long empty headers are held back after these turns, unless a message comes. grpc hands its completions over from
a thread of its own, which where the process is busy needs a while to get its turn: of the first answers of 48 fresh
connections to a server in the same process, 10 came out with headers without this, of 96 none with it."""
_MAX_KNOWN_METHODS = 1024
_NOT_REACHED = (
    "failed to connect to all addresses",
    "connections to all backends failing",
    "DNS resolution failed",
    "errors resolving",
)
_BROKE = (
    "Socket closed",
    "Stream removed",
    "GOAWAY received",
    "Connection reset",
    "recvmsg:",
    "Broken pipe",
    "Cancelling all calls",  # a grpc server that is stopped
    "transport",
)
EOF: Any = grpc.aio.EOF  # type: ignore[attr-defined]  # the stubs lack it
_Event = InitialMetadata | bytes | CallStatus
OnTrailers = Callable[[CallHead, Iterable[tuple[str, MetadataValue]]], None]
_CANCELLED = CallStatus(Code.CANCELLED, "cancelled by the caller")


def channel_options(max_message_bytes: int) -> list[tuple[str, int]]:
    """Channel arguments of our gRPC clients.

    A server that comes back is found within a second, and nothing is retried behind our back.
    """
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_metadata_size", 64 * 1024),
        ("grpc.absolute_max_metadata_size", 128 * 1024),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 1000),  # in grpc that is also how long a connection attempt may take
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
    ]


class GrpcCarrier:
    """A `proxy.tunnel.exchange.Carrier` over one channel.

    `name` names the other end in messages, for example `triton 'a' at host:8001`.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        name: str,
        clock: Clock,
        extra_metadata: Callable[[CallHead], Metadata] | None = None,
        on_trailers: OnTrailers | None = None,
        headers_grace_s: float = HEADERS_GRACE_S,
    ) -> None:
        """`on_trailers` is shown the trailing metadata of each call as they came, hop-by-hop ones too."""
        self._channel: Any = channel  # the stubs ask for serializers, which grpc does not
        self._name = name
        self._clock = clock
        self._extra_metadata = extra_metadata
        self._on_trailers = on_trailers
        self._headers_grace_s = headers_grace_s
        self._unary: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"<GrpcCarrier to {self._name}>"

    @property
    def name(self) -> str:
        """The other end, for messages."""
        return self._name

    def open(self, head: CallHead) -> OutgoingCall:
        """See the port. A call whose gRPC deadline has passed is not made; grpc would make it and end it too late."""
        metadata = head.metadata
        if self._extra_metadata is not None:
            metadata += self._extra_metadata(head)
        limit_at = head.deadline.limit_at
        timeout_s = None if limit_at == NO_DEADLINE else limit_at - self._clock.now()
        if timeout_s is not None and timeout_s <= 0:
            return FailedCall(CallStatus(Code.DEADLINE_EXCEEDED, "Deadline Exceeded"))
        if head.unary:
            method = self._unary.get(head.path)
            if method is None:
                method = self._channel.unary_unary(head.path, _registered_method=True)
                if len(self._unary) < _MAX_KNOWN_METHODS:
                    self._unary[head.path] = method
            call = _start_unary(method, timeout_s)
            return UnaryOutgoingCall(call, metadata, end=_End(self._name, head, self._on_trailers))
        call = self._channel.stream_stream(head.path)(timeout=timeout_s, metadata=metadata)
        end = _End(self._name, head, self._on_trailers)
        return StreamingOutgoingCall(call, end=end, headers_grace_s=self._headers_grace_s)


class _End(NamedTuple):
    """What there is to know when a call ends: who was called, and who wants to see the trailing metadata."""

    name: str
    head: CallHead
    on_trailers: OnTrailers | None


def _start_unary(method: Any, timeout_s: float | None) -> Any:
    """What `method(…)` makes its call of: grpc's own without the task and the objects that it puts around it.

    These cost as much again as the call. `tests/unit/http2` sees that what is used is there.
    """
    deadline = timeout_to_deadline(timeout_s)  # on grpc's clock
    return method._channel.call(method._method, deadline, None, None, method._registered_call_handle)  # noqa: SLF001


class UnaryOutgoingCall:
    """One message each way. It goes out when its answer is asked for: the caller's task is the call's.

    `call` is of grpc's Cython part.
    """

    __slots__ = ("_call", "_end", "_events", "_message", "_metadata", "_started")

    def __init__(self, call: Any, metadata: Metadata, *, end: _End) -> None:
        self._call = call
        self._metadata = metadata
        self._end = end
        self._message: bytes | None = None
        self._started: asyncio.Future[None] | None = None
        self._events: deque[_Event] | None = None

    def __repr__(self) -> str:
        return f"<UnaryOutgoingCall to {self._end.name} started={self._message is not None}>"

    @property
    def peer(self) -> str:
        """See the port."""
        return ""

    async def send(self, message: bytes, *, last: bool = False) -> None:
        """See the port."""
        if self._message is None and self._events is None:
            self._message = message
            self._wake()

    async def close_sending(self) -> None:
        """See the port. Without a message the call never begins."""
        self._end_unstarted(CallStatus(Code.INTERNAL, "a unary request ended without a message"))

    async def receive(self) -> _Event:
        """See the port."""
        if self._message is None and self._events is None:
            self._started = asyncio.get_running_loop().create_future()
            await self._started
        events = self._events
        if events is None:
            events = self._ended(await self._outcome(self._message or b""))
        return events.popleft() if len(events) > 1 else events[0]

    def cancel(self) -> None:
        """See the port."""
        if self._message is None:
            self._end_unstarted(_CANCELLED)
        elif self._events is None:
            self._events = deque([_CANCELLED])
            self._call.cancel(_CANCELLED.message)

    def _ended(self, outcome: deque[_Event]) -> deque[_Event]:
        """What came of the call, unless it has been cancelled meanwhile."""
        if self._events is None:
            self._events = outcome
        return self._events

    def _end_unstarted(self, status: CallStatus) -> None:
        if self._message is None and self._events is None:
            self._events = deque([status])
            self._wake()

    def _wake(self) -> None:
        if self._started is not None and not self._started.done():
            self._started.set_result(None)

    async def _outcome(self, message: bytes) -> deque[_Event]:
        call = self._call
        try:
            response: bytes | None = await call.unary_unary(message, self._metadata, None)
        except asyncio.CancelledError:
            self.cancel()
            raise
        events: deque[_Event] = deque()
        if initial := end_to_end(await call.initial_metadata() or ()):
            events.append(InitialMetadata(initial))
        if response is not None:
            events.append(response)
        status = await call.status()
        events.append(_status(self._end, status.code(), status.details() or "", status.trailing_metadata() or ()))
        return events


class StreamingOutgoingCall:
    """Any number of messages each way."""

    def __init__(self, call: Any, *, end: _End, headers_grace_s: float) -> None:
        self._call = call
        self._end = end
        self._headers_grace_s = headers_grace_s
        self._headers_seen = False
        self._read: asyncio.Task[_Event] | None = None

    def __repr__(self) -> str:
        return f"<StreamingOutgoingCall to {self._end.name} headers_seen={self._headers_seen}>"

    @property
    def peer(self) -> str:
        """See the port."""
        return ""

    async def send(self, message: bytes, *, last: bool = False) -> None:
        """See the port."""
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError, cygrpc.InternalError):
            await _write(self._call, message)
            if last:
                await self._call.done_writing()

    async def close_sending(self) -> None:
        """See the port."""
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError, cygrpc.InternalError):
            await self._call.done_writing()

    async def receive(self) -> _Event:
        """See the port."""
        try:
            return await self._receive()
        except asyncio.CancelledError:
            if not _given_up(self._call):
                raise
            return _CANCELLED

    async def _receive(self) -> _Event:
        if not self._headers_seen:
            self._headers_seen = True
            return await self._first()
        if self._read is not None:
            read, self._read = self._read, None
            return await read
        return await self._next()

    def cancel(self) -> None:
        """See the port."""
        self._call.cancel()
        self._call._metadata_sent.set()  # noqa: SLF001 -- grpc leaves a writer waiting that has not begun
        if self._read is not None:
            self._read.cancel()

    async def _first(self) -> _Event:
        metadata = end_to_end(await self._call.initial_metadata() or ())
        if metadata:
            return InitialMetadata(metadata)
        for _ in range(_TURNS_FOR_STATUS):
            if self._call.done():
                return await self._next()
            await asyncio.sleep(0)
        read = spawn(self._next(), name=f"first answer of {self._end.name}")
        try:
            await asyncio.wait({read}, timeout=self._headers_grace_s)
        except asyncio.CancelledError:
            read.cancel()
            raise
        if read.done() and isinstance(event := await read, CallStatus):
            return event
        self._read = read
        return InitialMetadata()

    async def _next(self) -> _Event:
        try:
            message = await self._call.read()
        except grpc.aio.AioRpcError:
            message = EOF
        if message is not EOF:
            data: bytes = message
            return data
        return await _status_of(self._call, self._end)


async def _write(call: Any, message: bytes) -> None:
    """`call.write`, but for what it does when the callee has ended the call: it makes the status INTERNAL.

    Here such a write is dropped and the callee's own status stays. `tests/unit/http2` sees that what is used is there.
    """
    if call.done():
        return
    await call._metadata_sent.wait()  # noqa: SLF001
    if not call.done():
        with contextlib.suppress(cygrpc.InternalError):
            await call._cython_call.send_serialized_message(message)  # noqa: SLF001


def _given_up(call: Any) -> bool:
    """Whether a CancelledError comes from the call, which was cancelled here, and not from whoever ends this task."""
    task = asyncio.current_task()
    cancelled: bool = call.cancelled()
    return cancelled and (task is None or not task.cancelling())


async def _status_of(call: Any, end: _End) -> CallStatus:
    return _status(end, from_grpc(await call.code()), await call.details() or "", await call.trailing_metadata() or ())


def _status(end: _End, code: int, message: str, raw: Iterable[tuple[str, MetadataValue]]) -> CallStatus:
    """How a call ended.

    What the channel itself has to say of the other end gets the other end's name.
    """
    if end.on_trailers is not None:
        end.on_trailers(end.head, raw)
    trailing = end_to_end(raw)
    name = end.name
    if code == Code.UNAVAILABLE and not trailing:
        if message.startswith(_NOT_REACHED):
            return CallStatus(code, f"{name} is unreachable: {message}", retryable=True)
        if message.startswith(_BROKE):
            return CallStatus(code, f"{name} broke the connection: {message}")
    return CallStatus(code, message, trailing)
