"""Calls made over gRPC: a `grpc.aio` channel as a carrier, by bytes."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio

from policies.traffic import NO_DEADLINE
from proxy.clock import Clock
from proxy.errors import Code
from proxy.http2.statuses import from_grpc
from proxy.tasks import spawn
from proxy.tunnel.exchange import CallHead, CallStatus, InitialMetadata, Metadata, OutgoingCall

HEADERS_GRACE_S = 0.003
"""How long empty headers are held back to see whether the answer is Trailers-Only. grpc does not tell the two apart,
but the status of a Trailers-Only answer follows its headers within the same read; 3 ms cover a busy machine and are
not felt in a stream."""
_MAX_KNOWN_METHODS = 1024
_NOT_REACHED = ("failed to connect to all addresses", "connections to all backends failing", "DNS resolution failed")
_BROKE = (
    "Socket closed",
    "Stream removed",
    "GOAWAY received",
    "Connection reset",
    "recvmsg:",
    "Broken pipe",
    "transport",
)
EOF: Any = grpc.aio.EOF  # type: ignore[attr-defined]  # the stubs lack it
_Event = InitialMetadata | bytes | CallStatus


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
        ("grpc.min_reconnect_backoff_ms", 100),
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
    ) -> None:
        self._channel: Any = channel  # the stubs ask for serializers, which grpc does not
        self._name = name
        self._clock = clock
        self._extra_metadata = extra_metadata
        self._unary: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"<GrpcCarrier to {self._name}>"

    @property
    def name(self) -> str:
        """The other end, for messages."""
        return self._name

    def open(self, head: CallHead) -> OutgoingCall:
        """See the port."""
        metadata = head.metadata
        if self._extra_metadata is not None:
            metadata += self._extra_metadata(head)
        limit_at = head.deadline.limit_at
        timeout_s = None if limit_at == NO_DEADLINE else max(limit_at - self._clock.now(), 0.0)
        if head.unary:
            method = self._unary.get(head.path)
            if method is None:
                method = self._channel.unary_unary(head.path)
                if len(self._unary) < _MAX_KNOWN_METHODS:
                    self._unary[head.path] = method
            return UnaryOutgoingCall(
                lambda message: method(message, timeout=timeout_s, metadata=metadata), name=self._name
            )
        call = self._channel.stream_stream(head.path)(timeout=timeout_s, metadata=metadata)
        return StreamingOutgoingCall(call, name=self._name)


class UnaryOutgoingCall:
    """One message each way."""

    def __init__(self, start: Callable[[bytes], Any], *, name: str) -> None:
        self._start = start
        self._name = name
        self._call: Any = None
        self._started: asyncio.Future[None] | None = None
        self._events: deque[_Event] | None = None

    def __repr__(self) -> str:
        return f"<UnaryOutgoingCall to {self._name} started={self._call is not None}>"

    async def send(self, message: bytes, *, last: bool = False) -> None:
        """See the port."""
        if self._call is None:
            self._call = self._start(message)
            if self._started is not None and not self._started.done():
                self._started.set_result(None)

    async def close_sending(self) -> None:
        """See the port."""

    async def receive(self) -> _Event:
        """See the port."""
        if self._events is None:
            if self._call is None:
                self._started = asyncio.get_running_loop().create_future()
                await self._started
            self._events = await self._outcome()
        return self._events.popleft()

    def cancel(self) -> None:
        """See the port."""
        if self._call is not None:
            self._call.cancel()

    async def _outcome(self) -> deque[_Event]:
        events: deque[_Event] = deque()
        call = self._call
        try:
            response: bytes = await call
        except grpc.aio.AioRpcError as error:
            if initial := error.initial_metadata():
                events.append(InitialMetadata(tuple(initial)))
            events.append(status_of(error, self._name))
            return events
        if initial := await call.initial_metadata():
            events.append(InitialMetadata(tuple(initial)))
        events.append(response)
        events.append(CallStatus(Code.OK, await call.details() or "", tuple(await call.trailing_metadata() or ())))
        return events


class StreamingOutgoingCall:
    """Any number of messages each way."""

    def __init__(self, call: Any, *, name: str) -> None:
        self._call = call
        self._name = name
        self._headers_seen = False
        self._read: asyncio.Task[Any] | None = None
        self._held: deque[_Event] = deque()

    def __repr__(self) -> str:
        return f"<StreamingOutgoingCall to {self._name} headers_seen={self._headers_seen}>"

    async def send(self, message: bytes, *, last: bool = False) -> None:
        """See the port."""
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await self._call.write(message)
            if last:
                await self._call.done_writing()

    async def close_sending(self) -> None:
        """See the port."""
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await self._call.done_writing()

    async def receive(self) -> _Event:
        """See the port."""
        if self._held:
            return self._held.popleft()
        if not self._headers_seen:
            self._headers_seen = True
            return await self._first()
        if self._read is not None:
            read, self._read = self._read, None
            event: _Event = await read
            return event
        return await self._next()

    def cancel(self) -> None:
        """See the port."""
        self._call.cancel()
        if self._read is not None:
            self._read.cancel()

    async def _first(self) -> _Event:
        metadata = tuple(await self._call.initial_metadata() or ())
        if metadata:
            return InitialMetadata(metadata)
        self._read = spawn(self._next(), name=f"first answer of {self._name}")
        await asyncio.wait({self._read}, timeout=HEADERS_GRACE_S)
        if self._read.done():
            event: _Event = self._read.result()
            self._read = None
            if isinstance(event, CallStatus):
                return event
            self._held.append(event)
        return InitialMetadata()

    async def _next(self) -> _Event:
        try:
            message = await self._call.read()
        except grpc.aio.AioRpcError as error:
            return status_of(error, self._name)
        if message is not EOF:
            data: bytes = message
            return data
        return CallStatus(
            from_grpc(await self._call.code()),
            await self._call.details() or "",
            tuple(await self._call.trailing_metadata() or ()),
        )


def status_of(error: grpc.aio.AioRpcError, name: str) -> CallStatus:
    """How a call ended, from grpc's exception.

    What the channel itself has to say of the other end gets the other end's name.
    """
    code = from_grpc(error.code())
    message = error.details() or ""
    trailing_metadata: Any = error.trailing_metadata()
    trailing = tuple(trailing_metadata or ())
    if code == Code.UNAVAILABLE and not trailing:
        if message.startswith(_NOT_REACHED):
            return CallStatus(code, f"{name} is unreachable: {message}", retryable=True)
        if message.startswith(_BROKE):
            return CallStatus(code, f"{name} broke the connection: {message}")
    return CallStatus(code, message, trailing)
