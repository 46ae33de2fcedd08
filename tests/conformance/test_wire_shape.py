"""The frames of an answer: which HEADERS there are, what is in them, and what ends the stream."""

import pytest

from tests.conformance.backend import SERVICE
from tests.conformance.client import new_call_id
from tests.conformance.conftest import Path, Target
from tests.conformance.journal import CALL_ID_KEY
from tests.conformance.pb import conformance_pb2 as pb
from tests.conformance.wire import Answer, Data, Frame, Headers, WireCall, WireClient, WireServer, framed

UNARY = f"/{SERVICE}/Unary"
BIDI = f"/{SERVICE}/Bidi"
NOT_FOUND = pb.End(code=5, message="nothing here")
# A server says for itself what it can decompress.
ITS_OWN = ("grpc-accept-encoding", "x-headway-")


def shape(answer: Answer) -> list[tuple[str, bool, tuple[str, ...]]]:
    """Return kind, end of stream and header names of each frame; DATA counts once however it is cut."""
    frames: list[tuple[str, bool, tuple[str, ...]]] = []
    for frame in answer.frames:
        match frame:
            case Headers(pairs, end_stream):
                names = tuple(sorted(name for name, _ in pairs if not name.startswith(ITS_OWN)))
                frames.append(("HEADERS", end_stream, names))
            case Data(_, end_stream):
                if frames[-1][:2] != ("DATA", False):
                    frames.append(("DATA", end_stream, ()))
            case _:
                frames.append(("RESET", True, ()))
    return frames


TRAILERS_ONLY = [("HEADERS", True, (":status", "content-type", "grpc-message", "grpc-status"))]
FIRST_HEADERS = ("HEADERS", False, (":status", "content-type"))
TRAILERS = ("HEADERS", True, ("grpc-message", "grpc-status"))


async def ask(
    target: Target, method: str, *requests: pb.CallRequest, extra: tuple[tuple[str, str], ...] = ()
) -> Answer:
    async with WireClient(target.address) as wire:
        body = b"".join(framed(request.SerializeToString()) for request in requests)
        return await wire.call(method, *extra, body=body)


@pytest.mark.parametrize("method", [UNARY, BIDI])
async def test_an_error_without_a_message_is_trailers_only(target: Target, method: str) -> None:
    answer = await ask(target, method, pb.CallRequest(end=NOT_FOUND))

    assert shape(answer) == TRAILERS_ONLY
    assert answer.header(":status") == "200"
    assert answer.header("content-type") == "application/grpc"
    assert (answer.grpc_status, answer.grpc_message) == (5, "nothing here")


async def test_trailing_metadata_and_details_stay_in_the_one_frame(target: Target) -> None:
    request = pb.CallRequest(end=pb.End(code=5, message="nothing here", details=b"\x08\x05"))
    answer = await ask(target, UNARY, request, extra=(("x-echo-trailing", "a"), ("x-echo-trailing-bin", "AP8")))

    [headers] = answer.headers
    assert headers.end_stream
    assert headers.values("x-echo-trailing") == ["a"]
    assert [value.rstrip("=") for value in headers.values("x-echo-trailing-bin")] == ["AP8"]
    assert [value.rstrip("=") for value in headers.values("grpc-status-details-bin")] == ["CAU"]


@pytest.mark.parametrize("method", [f"/{SERVICE}/Unimplemented", "/headway.conformance.v1.Absent/Anything"])
async def test_unimplemented_is_trailers_only(target: Target, method: str) -> None:
    answer = await ask(target, method, pb.CallRequest())

    assert shape(answer) == TRAILERS_ONLY
    assert answer.grpc_status == 12


async def test_an_ok_without_messages_is_trailers_only(target: Target) -> None:
    answer = await ask(target, BIDI)

    assert shape(answer) == TRAILERS_ONLY
    assert answer.grpc_status == 0


async def test_an_answer_with_a_message_has_headers_data_and_trailers(target: Target) -> None:
    answer = await ask(target, UNARY, pb.CallRequest(payload=b"x", echo=True))

    assert shape(answer) == [FIRST_HEADERS, ("DATA", False, ()), TRAILERS]
    assert answer.grpc_status == 0


async def test_an_error_after_a_message_has_headers_data_and_trailers(target: Target) -> None:
    answer = await ask(target, BIDI, pb.CallRequest(payload=b"x", echo=True, end=NOT_FOUND))

    assert shape(answer) == [FIRST_HEADERS, ("DATA", False, ()), TRAILERS]
    assert (answer.grpc_status, answer.grpc_message) == (5, "nothing here")


@pytest.mark.parametrize("method", [UNARY, BIDI])
async def test_an_error_after_headers_stays_headers_and_trailers(target: Target, method: str) -> None:
    request = pb.CallRequest(headers_first=True, end=NOT_FOUND)
    answer = await ask(target, method, request, extra=(("x-echo-initial", "a"),))

    assert shape(answer) == [("HEADERS", False, (":status", "content-type", "x-echo-initial")), TRAILERS]


async def test_an_error_well_after_empty_headers_stays_headers_and_trailers(target: Target) -> None:
    """The client has the headers before the backend decides on the error: they can't be one frame any more."""
    call_id = new_call_id()
    request = pb.CallRequest(headers_first=True, hold=True, end=NOT_FOUND)
    async with WireClient(target.address) as wire:
        stream = wire.start(UNARY, (CALL_ID_KEY, call_id))
        stream.send_data(framed(request.SerializeToString()), end_stream=True)
        first: Frame = await stream.frame()
        target.backend.calls[call_id].gate.set()
        answer = Answer((first, *await stream.rest()))

    assert shape(answer) == [FIRST_HEADERS, TRAILERS]
    assert answer.grpc_status == 5


async def test_headway_adds_to_the_last_frame_only(target: Target) -> None:
    answer = await ask(target, UNARY, pb.CallRequest(payload=b"x", echo=True))

    first, last = answer.headers
    assert [name for name, _ in first.pairs if name.startswith("x-headway-")] == []
    added = {name for name, _ in last.pairs} - {"grpc-status", "grpc-message"}
    assert [name for name in added if not name.startswith("x-headway-")] == []


async def test_content_type_with_a_suffix_is_accepted(target: Target) -> None:
    """`application/grpc+proto`: what some clients send."""
    async with WireClient(target.address) as wire:
        stream = wire.start(UNARY, content_type="application/grpc+proto")
        stream.send_data(framed(pb.CallRequest(payload=b"x", echo=True).SerializeToString()), end_stream=True)
        answer = Answer(tuple(await stream.rest()))

    assert answer.grpc_status == 0
    assert (answer.header("content-type") or "").startswith("application/grpc")


async def test_a_request_cut_at_every_byte(target: Target) -> None:
    """One DATA frame a byte: no boundary of frames is one of messages."""
    requests = [pb.CallRequest(payload=b"ab", echo=True), pb.CallRequest(), pb.CallRequest(payload=b"c", echo=True)]
    async with WireClient(target.address) as wire:
        stream = wire.start(BIDI)
        for byte in b"".join(framed(request.SerializeToString()) for request in requests):
            stream.send_data(bytes([byte]))
        stream.send_data(b"", end_stream=True)
        answer = Answer(tuple(await stream.rest()))

    responses = [pb.CallResponse.FromString(message) for _, message in answer.messages]
    assert [(response.payload, response.received_messages) for response in responses] == [(b"ab", 1), (b"c", 3)]


async def test_an_answer_cut_at_every_byte_and_messages_of_no_bytes(path: Path) -> None:
    messages = [b"", b"one", b"", b"", b"two", b""]

    async def answer(call: WireCall) -> None:
        await call.body()
        call.stream.send_headers([(":status", "200"), ("content-type", "application/grpc")])
        for byte in b"".join(framed(message) for message in messages):
            call.stream.send_data(bytes([byte]))
        call.stream.send_headers([("grpc-status", "0")], end_stream=True)

    async with WireServer(answer) as server, path.open(server.address) as address, WireClient(address) as wire:
        received = await wire.call("/any.Service/Method", body=framed(b""))

    assert received.messages == [(0, message) for message in messages]
    assert received.grpc_status == 0
