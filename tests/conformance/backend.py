"""The server behind every path: a stock `grpc.aio` server whose answers the request describes.

In the test's own process a test sees each call through `Backend.calls`. As a program,
`python -m tests.conformance.backend --port 0` prints the port it listens on, and can be killed.
"""

import argparse
import asyncio
import hashlib
from types import TracebackType
from typing import Any, Self

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from tests.conformance.journal import HOLD_END_KEY, CallRecord, Journal
from tests.conformance.payload import payload
from tests.conformance.pb import conformance_pb2 as pb

SERVICE = "headway.conformance.v1.Conformance"
INITIAL_PREFIX = "x-echo-initial"
TRAILING_PREFIX = "x-echo-trailing"
STATUS_DETAILS_KEY = "grpc-status-details-bin"

# The suite sends 16 MiB messages; what a grpc server takes by default ends at 4 MiB.
MAX_MESSAGE_BYTES = 64 * 1024 * 1024

# What `read` returns at the end; the published stubs of grpc.aio lack it.
EOF: Any = grpc.aio.EOF  # type: ignore[attr-defined]

_COMPRESSIONS = {"gzip": grpc.Compression.Gzip, "deflate": grpc.Compression.Deflate}
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class Conversation:
    """One call on the server: what it has received, and what a request asks it to do next."""

    # The published stubs type neither the abort with metadata nor EOF as the handlers meet them.
    def __init__(self, record: CallRecord, context: Any) -> None:
        self._record = record
        self._context = context
        self._messages = 0
        self._bytes = 0
        self._sha256 = hashlib.sha256()
        self._headers_sent = False
        trailing = self._echoed(TRAILING_PREFIX)
        if trailing:
            context.set_trailing_metadata(trailing)

    def take(self, request: pb.CallRequest) -> None:
        self._messages += 1
        self._bytes += len(request.payload)
        self._sha256.update(request.payload)
        self._record.received.advance()

    async def read(self) -> pb.CallRequest | None:
        """Return the client's next message, or None once it has finished."""
        request: Any = await self._context.read()
        if request is EOF:
            self._record.half_closed.set()
            if self._record.values(HOLD_END_KEY):
                await self._record.gate.wait()
            return None
        assert isinstance(request, pb.CallRequest)
        self.take(request)
        return request

    async def prepare(self, request: pb.CallRequest) -> None:
        """Do what `request` wants done before an answer: compression, early headers, waiting."""
        if request.compression and not self._headers_sent:
            self._context.set_compression(_COMPRESSIONS[request.compression])
        # A unary handler of grpc.aio forgets its compression unless the headers go out by themselves.
        if request.headers_first or request.compression:
            await self.send_headers(always=True)
        if request.hold:
            await self._record.gate.wait()
        if request.sleep_s:
            await asyncio.sleep(request.sleep_s)

    async def answer(self, request: pb.CallRequest) -> None:
        """Send what `request` asks for; raises the abort that ends the call when it asks for an end."""
        await self.prepare(request)
        contents = [(request.payload, False)] if request.echo else []
        for content, uncompressed in contents:
            await self._write(content, uncompressed=uncompressed)
        for reply in request.replies:
            await self._write(payload(reply.size_bytes, reply.seed), uncompressed=reply.uncompressed)
        await self.end(request)

    async def end(self, request: pb.CallRequest) -> None:
        """Abort the call when `request` asks for a status that is not OK."""
        if request.HasField("end") and request.end.code:
            trailing = self._echoed(TRAILING_PREFIX)
            if request.end.details:
                trailing = (*trailing, (STATUS_DETAILS_KEY, request.end.details))
            await self._context.abort(_CODES[request.end.code], request.end.message, trailing)

    async def send_headers(self, *, always: bool = False) -> None:
        """Send the echoed initial metadata once; with nothing to echo, only if `always`."""
        initial = self._echoed(INITIAL_PREFIX)
        if (initial or always) and not self._headers_sent:
            await self._context.send_initial_metadata(initial)
        self._headers_sent = True

    async def _write(self, content: bytes, *, uncompressed: bool) -> None:
        await self.send_headers()
        if uncompressed:
            self._context.disable_next_message_compression()
        await self._context.write(self.response(content))
        self._record.sent.advance()

    def response(self, content: bytes = b"", *, complete: bool = False) -> pb.CallResponse:
        return pb.CallResponse(
            payload=content,
            received_messages=self._messages,
            received_bytes=self._bytes,
            received_sha256=self._sha256.digest() if complete else b"",
        )

    def _echoed(self, prefix: str) -> tuple[tuple[str, str | bytes], ...]:
        return tuple((key, value) for key, value in self._record.metadata if key.startswith(prefix))


class Servicer:
    """The methods of the conformance service."""

    def __init__(self, calls: Journal) -> None:
        self._calls = calls

    async def empty(self, _request: pb.Nothing, context: Any) -> pb.Nothing:
        with self._calls.serving(context):
            return pb.Nothing()

    async def unary(self, request: pb.CallRequest, context: Any) -> pb.CallResponse:
        with self._calls.serving(context) as record:
            conversation = Conversation(record, context)
            conversation.take(request)
            await conversation.prepare(request)
            if request.HasField("end") and request.end.code:
                await conversation.end(request)
            await conversation.send_headers()
            if request.echo:
                return conversation.response(request.payload, complete=True)
            for reply in request.replies:
                return conversation.response(payload(reply.size_bytes, reply.seed), complete=True)
            return conversation.response(complete=True)

    async def client_stream(self, _requests: object, context: Any) -> pb.CallResponse:
        with self._calls.serving(context) as record:
            conversation = Conversation(record, context)
            while (request := await conversation.read()) is not None:
                await conversation.prepare(request)
                if request.HasField("end"):
                    await conversation.end(request)
                    break
            await conversation.send_headers()
            return conversation.response(complete=True)

    async def server_stream(self, request: pb.CallRequest, context: Any) -> None:
        with self._calls.serving(context) as record:
            conversation = Conversation(record, context)
            conversation.take(request)
            await conversation.answer(request)

    async def bidi(self, _requests: object, context: Any) -> None:
        with self._calls.serving(context) as record:
            conversation = Conversation(record, context)
            while (request := await conversation.read()) is not None:
                await conversation.answer(request)
                if request.HasField("end"):
                    return

    async def bidi_after_half_close(self, _requests: object, context: Any) -> None:
        with self._calls.serving(context) as record:
            conversation = Conversation(record, context)
            requests = []
            while (request := await conversation.read()) is not None:
                requests.append(request)
            for request in requests:
                await conversation.answer(request)

    def handler(self) -> Any:
        """Return the service as a generic handler; `Unimplemented` is missing on purpose."""
        parse, serialize = pb.CallRequest.FromString, pb.CallResponse.SerializeToString
        # The published stubs know synchronous behaviours only.
        unary: Any = grpc.unary_unary_rpc_method_handler
        client_stream: Any = grpc.stream_unary_rpc_method_handler
        server_stream: Any = grpc.unary_stream_rpc_method_handler
        bidi: Any = grpc.stream_stream_rpc_method_handler
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Empty": unary(self.empty, pb.Nothing.FromString, pb.Nothing.SerializeToString),
                "Unary": unary(self.unary, parse, serialize),
                "ClientStream": client_stream(self.client_stream, parse, serialize),
                "ServerStream": server_stream(self.server_stream, parse, serialize),
                "Bidi": bidi(self.bidi, parse, serialize),
                "BidiAfterHalfClose": bidi(self.bidi_after_half_close, parse, serialize),
            },
        )


class Backend:
    """The conformance server on a loopback port, with health and reflection beside it."""

    def __init__(self, *, port: int = 0, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self.calls = Journal()
        self.health = health.aio.HealthServicer()  # type: ignore[attr-defined]
        self._server = grpc.aio.server(
            options=(
                ("grpc.max_receive_message_length", max_message_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
            ),
        )
        self._server.add_generic_rpc_handlers((Servicer(self.calls).handler(),))
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)
        names = (SERVICE, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        await self._server.start()

    async def stop(self, *, grace_s: float = 0.0) -> None:
        await self._server.stop(grace_s)

    async def wait(self) -> None:
        """Serve until the server is stopped."""
        await self._server.wait_for_termination()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


async def serve(port: int) -> None:
    async with Backend(port=port) as backend:
        print(backend.port, flush=True)  # noqa: T201 - the one line that the parent process waits for
        await backend.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="The conformance backend, until it is killed.")
    parser.add_argument("--port", type=int, default=0, help="0 lets the system choose; the port is printed")
    asyncio.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
