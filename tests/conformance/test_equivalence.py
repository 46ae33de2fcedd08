"""The same call directly and through headway: the same code, details, messages and metadata."""

from typing import Any

import grpc
import pytest

from tests.conformance.backend import SERVICE, Backend
from tests.conformance.client import Client, Outcome, outcome, sending
from tests.conformance.conftest import Target
from tests.conformance.pb import conformance_pb2 as pb
from tests.conformance.wire import Answer, Data, Headers, WireClient, framed

pytestmark = [pytest.mark.headway_only]

METADATA = (
    ("x-echo-initial", "one"),
    ("x-echo-initial", "two"),
    ("x-echo-initial-bin", b"\x00\xff"),
    ("x-echo-trailing", "three"),
    ("x-echo-trailing-bin", b""),
)
ECHO = pb.CallRequest(payload=b"content", echo=True)
MANY = pb.CallRequest(replies=[pb.Reply(size_bytes=size, seed=size) for size in (0, 1, 1000, 70_000)])
FAIL = pb.CallRequest(payload=b"content", echo=True, end=pb.End(code=10, message="aborted ☺", details=b"\x08\x0a"))
FAIL_EARLY = pb.CallRequest(end=pb.End(code=7, message=""))
HEADERS_THEN_FAIL = pb.CallRequest(headers_first=True, end=pb.End(code=16, message="who are you?"))
REQUESTS = pytest.mark.parametrize(
    "request_message",
    [ECHO, MANY, FAIL, FAIL_EARLY, HEADERS_THEN_FAIL, pb.CallRequest()],
    ids=["echo", "many", "fail", "fail_early", "headers_then_fail", "nothing"],
)


async def both(client: Client, backend: Backend, call: Any) -> tuple[Outcome, Outcome]:
    """Return how `call(client)` goes through headway and how it goes directly."""
    async with Client(backend.address) as direct:
        return (await outcome(call(client))).without_headway(), await outcome(call(direct))


@REQUESTS
@pytest.mark.parametrize("arity", ["unary", "server_stream"])
async def test_one_request(client: Client, backend: Backend, request_message: pb.CallRequest, arity: str) -> None:
    through, directly = await both(
        client, backend, lambda client: getattr(client, arity)(request_message, metadata=METADATA)
    )

    assert through == directly


@REQUESTS
@pytest.mark.parametrize("arity", ["client_stream", "bidi", "bidi_after_half_close"])
async def test_a_stream_of_requests(
    client: Client, backend: Backend, request_message: pb.CallRequest, arity: str
) -> None:
    requests = [ECHO, request_message, MANY]
    through, directly = await both(
        client, backend, lambda client: getattr(client, arity)(sending(requests), metadata=METADATA)
    )

    assert through == directly


async def test_a_method_that_does_not_exist(client: Client, backend: Backend) -> None:
    through, directly = await both(client, backend, lambda client: client.unimplemented(pb.Nothing()))

    assert through == directly
    assert through.code is grpc.StatusCode.UNIMPLEMENTED


def on_the_wire(answer: Answer) -> list[tuple[Any, ...]]:
    """Return the frames of `answer`, headers less headway's own, DATA put together."""
    frames: list[tuple[Any, ...]] = []
    for frame in answer.frames:
        match frame:
            case Headers(pairs, end_stream):
                kept = sorted(pair for pair in pairs if not pair[0].startswith("x-headway-"))
                frames.append(("HEADERS", end_stream, kept))
            case Data(content, _) if frames[-1][0] == "DATA":
                frames[-1] = ("DATA", frames[-1][1] + content)
            case Data(content, _):
                frames.append(("DATA", content))
            case _:
                frames.append(("RESET",))
    return _without_bare_headers(frames)


def _without_bare_headers(frames: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Join headers that carry no metadata to the status that follows them.

    grpc hands both forms to an application alike, so headway, which hears its backend through grpc, answers an error
    whose bare headers came with it as Trailers-Only. `test_wire_shape` sees to it that Trailers-Only stays so.
    """
    if [frame[0] for frame in frames] != ["HEADERS", "HEADERS"]:
        return frames
    (_, _, headers), (_, end_stream, trailers) = frames
    if any(key not in {":status", "content-type", "grpc-accept-encoding"} for key, _ in headers):
        return frames
    bare = [pair for pair in headers if pair[0] != "grpc-accept-encoding"]
    return [("HEADERS", end_stream, sorted(bare + trailers))]


@REQUESTS
@pytest.mark.parametrize("method", ["Unary", "ServerStream", "ClientStream", "Bidi"])
async def test_the_frames_of_an_answer(target: Target, request_message: pb.CallRequest, method: str) -> None:
    """Down to the wire: the same HEADERS with the same content, the same bytes, the same end.

    With initial metadata: headers without any, at once followed by an error, are the one case that a grpc.aio client
    in between may take for Trailers-Only.
    """
    answers = []
    for address in (target.address, target.backend.address):
        async with WireClient(address) as wire:
            body = framed(request_message.SerializeToString())
            echoed = (("x-echo-initial", "i"), ("x-echo-trailing", "t"))
            answers.append(on_the_wire(await wire.call(f"/{SERVICE}/{method}", *echoed, body=body)))

    assert answers[0] == answers[1]
