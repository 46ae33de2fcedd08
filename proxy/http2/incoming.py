"""Calls that arrive over gRPC: a `grpc.aio` server whose every method is served by one handler, by bytes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from policies.traffic import NO_DEADLINE, Deadline
from proxy.clock import Clock
from proxy.errors import Code
from proxy.http2.outgoing import EOF
from proxy.http2.statuses import to_grpc
from proxy.tunnel.exchange import CallHandler, CallHead, CallStatus, Metadata
from proxy.tunnel.far_times import STAGES_KEY, encode_times
from proxy.tunnel.metadata import end_to_end
from proxy.tunnel.methods import is_unary
from proxy.tunnel.timeouts import LONGEST_TIMEOUT_S

logger = logging.getLogger(__name__)

Context = Any  # grpc.aio.ServicerContext[bytes, bytes]: generic only for type checkers
ReadHead = Callable[[str, Context, float], CallHead]
"""Makes a call's head from its path, its context and the time."""

CANCEL_GRACE_S = 0.002
"""How long the end of a request is held back to see whether the client cancelled it. grpc shows a cancelled request as
one that ended and tells of the cancelling a moment later, in 480 of 480 cases within this time; without the wait, a
backend took a broken-off upload for a whole one."""

_NO_STATUS = CallStatus(Code.INTERNAL, "the call was ended without a status")
_NO_MESSAGE = CallStatus(Code.INTERNAL, "the answer to a unary call has no message")


class GenericHandler(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in the stubs only
    """Serves every method of every service with `handler`. `active` is called with +1 and -1 as calls come and go."""

    def __init__(
        self, handler: CallHandler, *, clock: Clock, read_head: ReadHead, active: Callable[[int], None]
    ) -> None:
        self._handler = handler
        self._clock = clock
        self._read_head = read_head
        self._active = active
        self._known: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        """Grpc's question who serves a method: we do."""
        path: str = handler_call_details.method
        method = self._known.get(path)
        if method is None:
            method = self._unary(path) if is_unary(path) else self._streaming(path)
            if is_unary(path):
                self._known[path] = method
        return method

    def _unary(self, path: str) -> grpc.RpcMethodHandler[Any, Any]:
        async def serve(request: bytes, context: Context) -> bytes:
            head = self._read_head(path, context, self._clock.now())
            if head.times is not None:
                head.times.received_at = head.accepted_at  # grpc calls us when the message is complete
            call = UnaryIncomingCall(head, request, context, clock=self._clock)
            await self._serve(call)
            await call.conclude()
            return call.response or b""

        return grpc.unary_unary_rpc_method_handler(serve)

    def _streaming(self, path: str) -> grpc.RpcMethodHandler[Any, Any]:
        async def serve(_: object, context: Context) -> None:
            head = self._read_head(path, context, self._clock.now())
            call = StreamingIncomingCall(head, context, clock=self._clock)
            await self._serve(call)
            await call.conclude()

        return grpc.stream_stream_rpc_method_handler(serve)

    async def _serve(self, call: UnaryIncomingCall | StreamingIncomingCall) -> None:
        self._active(1)
        try:
            await self._handler(call)
        except asyncio.CancelledError:
            raise
        except Exception:
            logger.exception("Call %s failed", call.head.path)
            await call.finish(CallStatus(Code.INTERNAL, "internal error in headway"))
        finally:
            self._active(-1)


class _IncomingCall:
    """What calls of both kinds share: a head, a context, and a status that is sent when the handler has returned."""

    def __init__(self, head: CallHead, context: Context, *, clock: Clock) -> None:
        self._head = head
        self._context = context
        self._clock = clock
        self._status: CallStatus | None = None

    @property
    def head(self) -> CallHead:
        """See the port."""
        return self._head

    async def finish(self, status: CallStatus) -> None:
        """See the port."""
        if self._status is None:
            times = self._head.times
            if times is not None and times.tells:
                told = (STAGES_KEY, encode_times(times, now=self._clock.now()).decode())
                status = CallStatus(status.code, status.message, (*status.metadata, told))
            self._status = status

    async def conclude(self) -> None:
        """Send the status. `abort` is what makes grpc answer an error without headers of its own, as Trailers-Only."""
        status = self._status or _NO_STATUS
        if status.ok:
            if status.metadata:
                self._context.set_trailing_metadata(status.metadata)
            if status.message:
                self._context.set_details(status.message)
            return
        await self._context.abort(to_grpc(status.code), status.message, status.metadata)


class UnaryIncomingCall(_IncomingCall):
    """One message each way."""

    def __init__(self, head: CallHead, request: bytes, context: Context, *, clock: Clock) -> None:
        super().__init__(head, context, clock=clock)
        self._request: bytes | None = request
        self.response: bytes | None = None

    def __repr__(self) -> str:
        return f"<UnaryIncomingCall {self._head.path} status={self._status}>"

    async def receive(self) -> bytes | None:
        """See the port."""
        request, self._request = self._request, None
        return request

    async def send_initial_metadata(self, metadata: Metadata) -> None:
        """See the port. Empty metadata leave with the answer."""
        if metadata:
            await self._context.send_initial_metadata(metadata)

    async def send(self, message: bytes) -> None:
        """See the port."""
        self.response = message

    async def conclude(self) -> None:
        """Send the status. OK alone is no answer: grpc would make an empty message of it."""
        if self._status is not None and self._status.ok and self.response is None:
            self._status = _NO_MESSAGE
        await super().conclude()


class StreamingIncomingCall(_IncomingCall):
    """Any number of messages each way."""

    def __init__(self, head: CallHead, context: Context, *, clock: Clock) -> None:
        super().__init__(head, context, clock=clock)
        self._read: Callable[[], Awaitable[Any]] = context.read
        self._received = 0
        self._headers_sent = False

    def __repr__(self) -> str:
        return f"<StreamingIncomingCall {self._head.path} status={self._status}>"

    async def receive(self) -> bytes | None:
        """See the port."""
        message = await self._read()
        if message is EOF:
            await self._outwait_cancellation()
            return None
        self._received += 1
        if self._received == 1 and self._head.times is not None:
            self._head.times.received_at = self._clock.now()
        data: bytes = message
        return data

    async def _outwait_cancellation(self) -> None:
        if self._received == 1:
            # As a rule a unary request, which comes with its end in one piece. Two turns of the loop show 95 in 100.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        else:
            await asyncio.sleep(CANCEL_GRACE_S)

    async def send_initial_metadata(self, metadata: Metadata) -> None:
        """See the port."""
        if not self._headers_sent:
            self._headers_sent = True
            await self._context.send_initial_metadata(metadata)

    async def send(self, message: bytes) -> None:
        """See the port."""
        self._headers_sent = True
        try:
            await self._context.write(message)
        except grpc.aio.InternalError:
            # The call is over: its client is gone, or the message exceeds the limit. grpc is about to cancel us for it.
            raise asyncio.CancelledError from None


def plain_head(path: str, context: Context, now: float) -> CallHead:
    """The head of a call as any gRPC client sends it; not classified yet."""
    remaining_s = context.time_remaining()
    limit_at = NO_DEADLINE if remaining_s is None or remaining_s > LONGEST_TIMEOUT_S else now + remaining_s
    metadata = end_to_end(context.invocation_metadata())
    return CallHead(
        path=path,
        metadata=tuple(item for item in metadata if not item[0].startswith("x-headway-")),
        deadline=Deadline(limit_at, limit_at),
        peer=readable_peer(context.peer()),
        accepted_at=now,
        unary=is_unary(path),
    )


def readable_peer(peer: str) -> str:
    """Grpc's `ipv4:1.2.3.4:5` as `1.2.3.4:5`, `ipv6:%5B::1%5D:5` as `[::1]:5`; a Unix socket stays `unix:…`."""
    scheme, _, address = peer.partition(":")
    if scheme in ("ipv4", "ipv6"):
        return address.replace("%5B", "[").replace("%5D", "]")
    return peer
