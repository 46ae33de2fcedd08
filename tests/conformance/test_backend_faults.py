"""A backend that dies or breaks the protocol: the client gets a gRPC status for every call, soon, and the right one."""

import asyncio
from typing import Any

import grpc
import pytest

from tests.conformance.backend_process import BackendProcess
from tests.conformance.client import Client, drained, outcome
from tests.conformance.conftest import Path
from tests.conformance.pb import conformance_pb2 as pb
from tests.conformance.wire import Script, WireCall, WireServer, framed

GRPC_HEADERS = ((":status", "200"), ("content-type", "application/grpc"))
HTTP2_REFUSED_STREAM, HTTP2_CANCEL, HTTP2_ENHANCE_YOUR_CALM = 7, 8, 11


@pytest.mark.slow
async def test_killed_in_the_middle_of_a_stream(path: Path) -> None:
    async with BackendProcess() as process, path.open(process.address) as address, Client(address) as client:
        call = client.bidi()
        await call.write(pb.CallRequest(payload=b"alive", echo=True))
        assert (await call.read()).payload == b"alive"
        await process.kill()

        async with asyncio.timeout(2):
            result = await drained(call)

    assert result.code is grpc.StatusCode.UNAVAILABLE


@pytest.mark.slow
async def test_killed_before_headers(path: Path) -> None:
    async with BackendProcess() as process, path.open(process.address) as address, Client(address) as client:
        await client.empty(pb.Nothing())
        # The stream that answers shows that the sleeping call has reached the backend before it on the same way.
        sleeping = client.unary(pb.CallRequest(sleep_s=60))
        stream = client.bidi()
        await stream.write(pb.CallRequest(payload=b"alive", echo=True))
        assert (await stream.read()).payload == b"alive"
        await process.kill()

        async with asyncio.timeout(2):
            result = await outcome(sleeping)

    assert result.code is grpc.StatusCode.UNAVAILABLE


@pytest.mark.slow
async def test_killed_while_sending_a_lot(path: Path) -> None:
    """The stream breaks inside a message, with more of it in every buffer on the way."""
    async with BackendProcess() as process, path.open(process.address) as address, Client(address) as client:
        replies = [pb.Reply(size_bytes=1_000_000, seed=seed) for seed in range(64)]
        call = client.server_stream(pb.CallRequest(replies=replies))
        assert len((await call.read()).payload) == 1_000_000
        await process.kill()

        async with asyncio.timeout(5):
            result = await drained(call)

    assert result.code is grpc.StatusCode.UNAVAILABLE
    assert [len(message.payload) for message in result.messages] == [1_000_000] * len(result.messages)


@pytest.mark.slow
async def test_calls_after_the_kill_fail_at_once(path: Path) -> None:
    async with BackendProcess() as process, path.open(process.address) as address, Client(address) as client:
        await client.empty(pb.Nothing())
        await process.kill()

        for _ in range(3):
            async with asyncio.timeout(1):
                result = await outcome(client.empty(pb.Nothing()))
            assert result.code is grpc.StatusCode.UNAVAILABLE


async def test_no_backend_from_the_start(path: Path) -> None:
    async with WireServer(_silence) as server:
        nobody = server.address
    async with path.open(nobody) as address, Client(address) as client, asyncio.timeout(2):
        result = await outcome(client.empty(pb.Nothing()))

    assert result.code is grpc.StatusCode.UNAVAILABLE


async def _silence(call: WireCall) -> None:
    await call.body()


async def _answered(path: Path, script: Script) -> tuple[grpc.StatusCode, int]:
    """Return code and message count of a streaming call to a backend that follows `script`.

    grpc's client may drop a message that is right before a broken end, so that one sent may be none received.
    """
    async with WireServer(script) as server, path.open(server.address) as address, Client(address) as client:
        method: Any = client.channel.stream_stream("/any.Service/Method", None, None)
        call = method()
        await call.write(b"request")
        await call.done_writing()
        async with asyncio.timeout(5):
            result = await drained(call)
    return result.code, len(result.messages)


async def test_headers_then_the_connection_is_lost(path: Path) -> None:
    async def script(call: WireCall) -> None:
        await call.body()
        call.stream.send_headers(GRPC_HEADERS)
        call.stream.send_data(framed(b"one"))
        call.stream.connection.close()

    code, _ = await _answered(path, script)

    assert code is grpc.StatusCode.UNAVAILABLE


async def test_the_end_comes_without_trailers(path: Path) -> None:
    async def script(call: WireCall) -> None:
        await call.body()
        call.stream.send_headers(GRPC_HEADERS)
        call.stream.send_data(framed(b"one"), end_stream=True)

    code, _ = await _answered(path, script)

    assert code is grpc.StatusCode.UNKNOWN


@pytest.mark.parametrize(
    ("reset", "code"),
    [
        (HTTP2_CANCEL, grpc.StatusCode.CANCELLED),
        (HTTP2_REFUSED_STREAM, grpc.StatusCode.UNAVAILABLE),
        (HTTP2_ENHANCE_YOUR_CALM, grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
    ids=["cancel", "refused_stream", "enhance_your_calm"],
)
async def test_the_backend_resets_the_stream(path: Path, reset: int, code: grpc.StatusCode) -> None:
    async def script(call: WireCall) -> None:
        await call.body()
        call.stream.send_headers(GRPC_HEADERS)
        call.stream.send_data(framed(b"one"))
        call.stream.reset(reset)

    result, _ = await _answered(path, script)

    assert result is code


@pytest.mark.parametrize(
    ("http_status", "code"),
    [
        ("400", grpc.StatusCode.INTERNAL),
        ("401", grpc.StatusCode.UNAUTHENTICATED),
        ("403", grpc.StatusCode.PERMISSION_DENIED),
        ("404", grpc.StatusCode.UNIMPLEMENTED),
        ("429", grpc.StatusCode.UNAVAILABLE),
        ("503", grpc.StatusCode.UNAVAILABLE),
        ("500", grpc.StatusCode.UNKNOWN),
    ],
)
async def test_the_backend_answers_http_and_not_grpc(path: Path, http_status: str, code: grpc.StatusCode) -> None:
    """A web server in front of a model, for example: the mapping is gRPC's http-grpc-status-mapping."""

    async def script(call: WireCall) -> None:
        await call.body()
        call.stream.send_headers([(":status", http_status), ("content-type", "text/html")])
        call.stream.send_data(b"<html>", end_stream=True)

    result, messages = await _answered(path, script)

    assert (result, messages) == (code, 0)


async def test_a_message_longer_than_the_stream(path: Path) -> None:
    async def script(call: WireCall) -> None:
        await call.body()
        call.stream.send_headers(GRPC_HEADERS)
        call.stream.send_data(framed(b"one") + framed(b"two", length=1000))
        call.stream.send_headers([("grpc-status", "0")], end_stream=True)

    code, messages = await _answered(path, script)

    assert messages <= 1
    assert code in {grpc.StatusCode.OK, grpc.StatusCode.INTERNAL}


async def test_a_message_that_claims_four_gigabytes(path: Path) -> None:
    async def script(call: WireCall) -> None:
        await call.body()
        call.stream.send_headers(GRPC_HEADERS)
        call.stream.send_data(framed(b"0123456789", length=2**32 - 1))
        call.stream.send_headers([("grpc-status", "0")], end_stream=True)

    code, messages = await _answered(path, script)

    assert messages == 0
    assert code is not grpc.StatusCode.CANCELLED
