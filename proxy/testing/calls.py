"""Calls that stay in this process: both ends of the exchange port (`proxy.tunnel.exchange`) joined in memory.

`MemoryCarrier(handler)` is a carrier whose far end is a `CallHandler` of this process. It tests handlers:

    answer = await exchange(MemoryCarrier(dispatcher), CallHead("/pkg.Service/Method"), b"request")
    assert answer.status.code == Code.OK

and it plays the backend for what makes calls, with `answering`, `failing`, `hanging` or a handler of one's own:

    backend = MemoryCarrier(answering(b"one", b"two"))
    ...
    assert backend.calls[0].requests == [b"request"]

A direction holds `capacity` messages before a sender waits. There is no clock here: the caller of a test cancels, no
deadline does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from proxy.errors import Code
from proxy.tasks import spawn
from proxy.tunnel.exchange import CallHandler, CallHead, CallStatus, Carrier, IncomingCall, InitialMetadata, Metadata

CAPACITY = 16
"""Messages under way in a direction: enough that tests of content need not read along, few enough to notice who never
reads.
"""

T = TypeVar("T")


class _Pipe(Generic[T]):
    """A bounded queue. Once shut, what is put in is dropped and nobody waits for room."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: deque[T] = deque()
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self.shut = False

    async def put(self, item: T) -> None:
        while len(self._items) >= self._capacity and not self.shut:
            self._writable.clear()
            await self._writable.wait()
        self.put_now(item)

    def put_now(self, item: T) -> None:
        """Without waiting, past the capacity if need be."""
        if not self.shut:
            self._items.append(item)
            self._readable.set()

    async def get(self) -> T:
        while not self._items:
            self._readable.clear()
            await self._readable.wait()
        item = self._items.popleft()
        self._writable.set()
        return item

    def close(self, *, discard: bool = False) -> None:
        self.shut = True
        if discard:
            self._items.clear()
        self._writable.set()


class MemoryIncoming:
    """The callee's end."""

    def __init__(
        self, head: CallHead, request: _Pipe[bytes | None], answer: _Pipe[InitialMetadata | bytes | CallStatus]
    ) -> None:
        self.head = head
        self._request = request
        self._answer = answer
        self._half_closed = False

    async def receive(self) -> bytes | None:
        """The next message, or None."""
        if self._half_closed:
            return None
        message = await self._request.get()
        self._half_closed = message is None
        return message

    async def send_initial_metadata(self, metadata: Metadata) -> None:
        """Queue the headers."""
        await self._answer.put(InitialMetadata(metadata))

    async def send(self, message: bytes) -> None:
        """Queue one message."""
        await self._answer.put(message)

    async def finish(self, status: CallStatus) -> None:
        """Queue the end; it needs no room."""
        self.end(status)

    def end(self, status: CallStatus, *, discard: bool = False) -> None:
        """End the call once, dropping on `discard` what the caller has not received."""
        if not self._answer.shut:
            if discard:
                self._answer.close(discard=True)
                self._answer.shut = False
            self._answer.put_now(status)
            self._answer.close()
            self._request.close()


class MemoryOutgoing:
    """The caller's end, with a record of what went over it."""

    def __init__(self, handler: CallHandler, head: CallHead, capacity: int) -> None:
        self.head = head
        self.requests: list[bytes] = []
        """What the caller has sent."""
        self.half_closed = False
        self.cancelled = False
        """Whether the caller gave up before the status."""
        self.served = asyncio.Event()
        """Set once the callee's handler has returned or was cancelled."""
        self._request: _Pipe[bytes | None] = _Pipe(capacity)
        self._answer: _Pipe[InitialMetadata | bytes | CallStatus] = _Pipe(capacity)
        self._incoming = MemoryIncoming(head, self._request, self._answer)
        self._status: CallStatus | None = None
        self._task = spawn(self._serve(handler), name=f"memory call {head.path}")

    def __repr__(self) -> str:
        state = "cancelled" if self.cancelled else "ended" if self._answer.shut else "open"
        return f"<MemoryOutgoing {self.head.path} {state}, {len(self.requests)} sent>"

    @property
    def peer(self) -> str:
        """See the port."""
        return ""

    async def send(self, message: bytes, *, last: bool = False) -> None:
        """Queue one message of the request."""
        if self.half_closed:
            raise ValueError(f"{self!r}: a message after the half-close")
        self.half_closed = last
        self.requests.append(message)
        await self._request.put(message)
        if last:
            self._request.put_now(None)

    async def close_sending(self) -> None:
        """Half-close."""
        if not self.half_closed:
            self.half_closed = True
            self._request.put_now(None)

    async def receive(self) -> InitialMetadata | bytes | CallStatus:
        """The next event; after the status, the status again."""
        if self._status is None:
            event = await self._answer.get()
            if not isinstance(event, CallStatus):
                return event
            self._status = event
        return self._status

    def cancel(self) -> None:
        """Give up: the handler's task is cancelled, as a carrier would do."""
        if self._status is None and not self.cancelled:
            self.cancelled = True
            self._incoming.end(CallStatus(Code.CANCELLED, "cancelled by the caller"), discard=True)
            self._task.cancel()

    async def _serve(self, handler: CallHandler) -> None:
        try:
            await handler(self._incoming)
        except Exception as error:
            self._incoming.end(CallStatus(Code.INTERNAL, f"the handler failed: {error!r}"))
            raise
        else:
            self._incoming.end(CallStatus(Code.INTERNAL, "the handler returned without a status"))
        finally:
            self.served.set()


class MemoryCarrier:
    """A carrier whose calls are served by `handler`, which a test may exchange between calls."""

    def __init__(self, handler: CallHandler, *, capacity: int = CAPACITY) -> None:
        self.handler = handler
        self.calls: list[MemoryOutgoing] = []
        """Every call so far, oldest first."""
        self.opened = asyncio.Event()
        """Set when a call is opened; tests that wait for a further one clear it."""
        self._capacity = capacity

    def open(self, head: CallHead) -> MemoryOutgoing:
        """Start a call."""
        call = MemoryOutgoing(self.handler, head, self._capacity)
        self.calls.append(call)
        self.opened.set()
        return call


@dataclass(frozen=True, slots=True)
class Answer:
    """Everything that came back from one call."""

    status: CallStatus
    messages: tuple[bytes, ...] = ()
    initial: Metadata | None = None
    """None when no headers came: a Trailers-Only answer."""

    def trailer(self, key: str) -> str | bytes | None:
        """The last value of a trailing metadata key."""
        return dict(self.status.metadata).get(key)


async def exchange(carrier: Carrier, head: CallHead, *messages: bytes) -> Answer:
    """Make one call: send `messages`, half-close, collect the answer. Cancels the call if it is itself cancelled."""
    call = carrier.open(head)

    async def send_all() -> None:
        for message in messages:
            await call.send(message)
        await call.close_sending()

    received: list[bytes] = []
    initial: Metadata | None = None
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(send_all(), name=f"send {head.path}")
            while not isinstance(event := await call.receive(), CallStatus):
                if isinstance(event, InitialMetadata):
                    initial = event.metadata
                else:
                    received.append(event)
    except BaseException:
        call.cancel()
        raise
    return Answer(event, tuple(received), initial)


def answering(*messages: bytes, initial: Metadata | None = None, status: CallStatus | None = None) -> CallHandler:
    """A callee that reads the whole request, then answers with these."""

    async def handler(call: IncomingCall) -> None:
        while await call.receive() is not None:
            pass
        if initial is not None:
            await call.send_initial_metadata(initial)
        for message in messages:
            await call.send(message)
        await call.finish(status or CallStatus(Code.OK))

    return handler


def failing(code: Code, message: str = "", *, metadata: Metadata = (), retryable: bool = False) -> CallHandler:
    """A callee that refuses at once, without reading; `retryable` as where no connection could be had."""

    async def handler(call: IncomingCall) -> None:
        await call.finish(CallStatus(code, message, metadata, retryable=retryable))

    return handler


def hanging() -> CallHandler:
    """A callee that never answers; only cancelling ends it."""

    async def handler(call: IncomingCall) -> None:  # noqa: ARG001 -- it does not even read
        await asyncio.Event().wait()

    return handler
