"""Status codes, messages and details arrive as the backend gave them."""

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status

from tests.conformance.backend import STATUS_DETAILS_KEY
from tests.conformance.client import Client, outcome, sending
from tests.conformance.conftest import Path
from tests.conformance.pb import conformance_pb2 as pb
from tests.conformance.wire import WireCall, WireServer, framed

SPECIAL_MESSAGE = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
NOT_OK = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]


def ending(code: grpc.StatusCode, message: str, **more: bytes) -> pb.CallRequest:
    return pb.CallRequest(end=pb.End(code=code.value[0], message=message, **more))


async def test_status_code_and_message_unary(client: Client) -> None:
    result = await outcome(client.unary(ending(grpc.StatusCode.UNKNOWN, "test status message")))

    assert (result.code, result.details) == (grpc.StatusCode.UNKNOWN, "test status message")


async def test_status_code_and_message_bidi(client: Client) -> None:
    result = await outcome(client.bidi(sending([ending(grpc.StatusCode.UNKNOWN, "test status message")])))

    assert (result.code, result.details) == (grpc.StatusCode.UNKNOWN, "test status message")


async def test_special_status_message(client: Client) -> None:
    result = await outcome(client.unary(ending(grpc.StatusCode.UNKNOWN, SPECIAL_MESSAGE)))

    assert (result.code, result.details) == (grpc.StatusCode.UNKNOWN, SPECIAL_MESSAGE)


@pytest.mark.parametrize("code", NOT_OK, ids=lambda code: code.name.lower())
async def test_every_code_of_a_unary_call(client: Client, code: grpc.StatusCode) -> None:
    result = await outcome(client.unary(ending(code, f"ended with {code.name}")))

    assert (result.code, result.details) == (code, f"ended with {code.name}")


@pytest.mark.parametrize("code", NOT_OK, ids=lambda code: code.name.lower())
async def test_every_code_after_a_message(client: Client, code: grpc.StatusCode) -> None:
    request = ending(code, f"ended with {code.name}")
    request.replies.add(size_bytes=3)
    result = await outcome(client.server_stream(request))

    assert (result.code, result.details) == (code, f"ended with {code.name}")
    assert len(result.messages) == 1


async def test_status_without_a_message(client: Client) -> None:
    result = await outcome(client.unary(ending(grpc.StatusCode.ABORTED, "")))

    assert (result.code, result.details) == (grpc.StatusCode.ABORTED, "")


async def test_long_status_message(client: Client) -> None:
    """4 000 bytes: what a stack trace in an error message comes to."""
    result = await outcome(client.unary(ending(grpc.StatusCode.INTERNAL, "trace " * 667)))

    assert (result.code, result.details) == (grpc.StatusCode.INTERNAL, "trace " * 667)


async def test_rich_status_details(client: Client) -> None:
    info = any_pb2.Any()
    info.Pack(error_details_pb2.ErrorInfo(reason="NO_ROOM", domain="tests", metadata={"seats": "0"}))
    status = status_pb2.Status(code=9, message="full", details=[info])
    call = client.unary(ending(grpc.StatusCode.FAILED_PRECONDITION, "full", details=status.SerializeToString()))

    result = await outcome(call)

    assert dict(result.without_headway().trailing) == {STATUS_DETAILS_KEY: status.SerializeToString()}
    assert await rpc_status.aio.from_call(call) == status  # type: ignore[attr-defined]


async def test_unimplemented_method(client: Client) -> None:
    result = await outcome(client.unimplemented(pb.Nothing()))

    assert (result.code, result.details) == (grpc.StatusCode.UNIMPLEMENTED, "Method not found!")


async def test_unimplemented_service(client: Client) -> None:
    call = client.channel.unary_unary("/headway.conformance.v1.Absent/Anything", None, None)
    result = await outcome(call(b""))

    assert (result.code, result.details) == (grpc.StatusCode.UNIMPLEMENTED, "Method not found!")


@pytest.mark.parametrize(
    ("wire_message", "details"),
    [
        ("50%ZZ", "50%ZZ"),
        ("100%", "100%"),
        ("caf%C3%A9 %E2%98%BA", "café ☺"),
        ("two%0Alines", "two\nlines"),
        ("plain 100%25", "plain 100%"),
        ("", ""),
    ],
)
async def test_status_message_as_a_backend_may_encode_it(path: Path, wire_message: str, details: str) -> None:
    """A broken escape never costs the client the text around it."""

    async def answer(call: WireCall) -> None:
        await call.body()
        call.stream.send_headers(
            [
                (":status", "200"),
                ("content-type", "application/grpc"),
                ("grpc-status", "9"),
                ("grpc-message", wire_message),
            ],
            end_stream=True,
        )

    async with WireServer(answer) as server, path.open(server.address) as address, Client(address) as client:
        result = await outcome(client.empty(pb.Nothing()))

    assert (result.code, result.details) == (grpc.StatusCode.FAILED_PRECONDITION, details)


async def test_unknown_status_number_is_unknown(path: Path) -> None:
    async def answer(call: WireCall) -> None:
        await call.body()
        call.stream.send_headers([(":status", "200"), ("content-type", "application/grpc")])
        call.stream.send_data(framed(b""))
        call.stream.send_headers([("grpc-status", "42"), ("grpc-message", "new in 2031")], end_stream=True)

    async with WireServer(answer) as server, path.open(server.address) as address, Client(address) as client:
        result = await outcome(client.empty(pb.Nothing()))

    assert (result.code, result.details) == (grpc.StatusCode.UNKNOWN, "new in 2031")
