"""Requests that no stock client sends: each is answered, and the next call on the same path is served.

What grpc's own server answers is what a client of a grpc server is used to, so that `direct` and headway share the
expectations, save where they say otherwise.
"""

import asyncio

import pytest

from tests.conformance.backend import SERVICE
from tests.conformance.client import new_call_id
from tests.conformance.conftest import Target
from tests.conformance.journal import CALL_ID_KEY
from tests.conformance.pb import conformance_pb2 as pb
from tests.conformance.wire import Answer, Headers, WireClient, framed

UNARY, CLIENT_STREAM, BIDI = f"/{SERVICE}/Unary", f"/{SERVICE}/ClientStream", f"/{SERVICE}/Bidi"
OK, INVALID_ARGUMENT, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL = 0, 3, 4, 8, 12, 13
GOOD = framed(pb.CallRequest(payload=b"good", echo=True).SerializeToString())


async def still_serves(target: Target) -> None:
    async with WireClient(target.address) as wire:
        answer = await wire.call(UNARY, body=GOOD)
    assert answer.grpc_status == OK
    assert [pb.CallResponse.FromString(message).payload for _, message in answer.messages] == [b"good"]


async def ask(target: Target, method: str, *extra: tuple[str, str], body: bytes) -> Answer:
    """Make one call on a connection of its own: after some faults a grpc server refuses what follows there."""
    async with WireClient(target.address) as wire:
        return await wire.call(method, *extra, body=body)


@pytest.mark.parametrize("value", ["-1S", "1x", "", "S", "1", "1.5S", "one"])
async def test_malformed_timeout(target: Target, value: str) -> None:
    """grpc's server refuses what it cannot parse with INTERNAL before any handler sees the call."""
    call_id = new_call_id()
    answer = await ask(target, UNARY, ("grpc-timeout", value), (CALL_ID_KEY, call_id), body=GOOD)

    assert answer.grpc_status in {INVALID_ARGUMENT, INTERNAL}
    assert "grpc-timeout" in answer.grpc_message
    assert not target.backend.calls[call_id].started.is_set()
    await still_serves(target)


@pytest.mark.parametrize("value", ["99999999H", "99999999S", "123456789m", "00000020S"])
async def test_timeout_in_the_far_future(target: Target, value: str) -> None:
    """Nine digits are against the grammar; grpc's server takes them, and so a proxy in front of it must not mind."""
    answer = await ask(target, UNARY, ("grpc-timeout", value), body=GOOD)

    assert answer.grpc_status == OK


@pytest.mark.parametrize("value", ["0m", "0n", "0S", "00000000H"])
async def test_timeout_of_nothing(target: Target, value: str) -> None:
    """Expired on arrival: answered at once, the backend never hears of it."""
    call_id = new_call_id()
    answer = await ask(target, UNARY, ("grpc-timeout", value), (CALL_ID_KEY, call_id), body=GOOD)

    assert answer.grpc_status == DEADLINE_EXCEEDED
    await still_serves(target)
    assert not target.backend.calls[call_id].started.is_set()


async def test_two_timeouts(target: Target) -> None:
    answer = await ask(target, UNARY, ("grpc-timeout", "20S"), ("grpc-timeout", "30S"), body=GOOD)

    assert answer.grpc_status in {OK, INVALID_ARGUMENT, INTERNAL}
    await still_serves(target)


@pytest.mark.parametrize("compressed", [0, 1])
async def test_unknown_encoding(target: Target, compressed: int) -> None:
    """UNIMPLEMENTED says the specification; grpc's own server says INTERNAL, naming the header."""
    answer = await ask(target, UNARY, ("grpc-encoding", "snappy"), body=framed(b"\x00\x00", compressed=compressed))

    assert answer.grpc_status in {UNIMPLEMENTED, INTERNAL}
    assert answer.grpc_message != ""
    await still_serves(target)


async def test_compressed_flag_without_an_encoding(target: Target) -> None:
    answer = await ask(target, UNARY, body=framed(b"\x00\x00", compressed=1))

    assert answer.grpc_status == INTERNAL
    await still_serves(target)


async def test_compressed_flag_over_garbage(target: Target) -> None:
    answer = await ask(target, UNARY, ("grpc-encoding", "gzip"), body=framed(b"not gzip at all", compressed=1))

    assert answer.grpc_status == INTERNAL
    await still_serves(target)


@pytest.mark.parametrize("method", [UNARY, CLIENT_STREAM, BIDI])
async def test_four_gigabytes_announced_and_ten_bytes_sent(target: Target, method: str) -> None:
    answer = await ask(target, method, body=framed(b"0123456789", length=2**32 - 1))

    assert answer.grpc_status == RESOURCE_EXHAUSTED
    assert "4294967295" in answer.grpc_message
    await still_serves(target)


@pytest.mark.parametrize("method", [CLIENT_STREAM, BIDI])
@pytest.mark.parametrize("body", [GOOD + GOOD[:3], GOOD + GOOD[:-1], b"\x00"], ids=["prefix", "message", "one_byte"])
async def test_a_stream_cut_off_inside_a_message(target: Target, method: str, body: bytes) -> None:
    """The half message is nobody's: an error, or the end of the stream as grpc's own server has it; never content."""
    answer = await ask(target, method, body=body)

    assert answer.grpc_status in {OK, INVALID_ARGUMENT, INTERNAL}
    whole = 1 if body.startswith(GOOD) else 0
    if answer.grpc_status == OK and method == CLIENT_STREAM:
        assert [pb.CallResponse.FromString(message).received_messages for _, message in answer.messages] == [whole]
    if answer.grpc_status == OK and method == BIDI:
        assert len(answer.messages) == whole
    await still_serves(target)


@pytest.mark.parametrize("body", [b"", GOOD[:-1]], ids=["nothing", "half_a_message"])
async def test_a_unary_call_without_its_message(target: Target, body: bytes) -> None:
    """grpc.aio's server never answers that by itself; with a deadline the client is told at the latest then."""
    answer = await ask(target, UNARY, ("grpc-timeout", "300m"), body=body)

    assert answer.grpc_status in {INVALID_ARGUMENT, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL}
    await still_serves(target)


async def test_a_message_the_backend_cannot_parse(target: Target) -> None:
    """Not a matter for what is in between: the backend's own words come back."""
    answer = await ask(target, UNARY, body=framed(b"\xff\xff\xff"))

    assert answer.grpc_status == 2
    assert "Error parsing message" in answer.grpc_message


async def test_more_than_one_message_in_a_unary_call(target: Target) -> None:
    answer = await ask(target, UNARY, body=GOOD + GOOD)

    assert answer.grpc_status in {OK, INVALID_ARGUMENT, UNIMPLEMENTED, INTERNAL}
    await still_serves(target)


@pytest.mark.parametrize("method", ["/", "/NoMethod", "/a/b/c", "/%00/x", "/" + "m" * 4000])
async def test_odd_paths(target: Target, method: str) -> None:
    answer = await ask(target, method, body=GOOD)

    assert answer.grpc_status == UNIMPLEMENTED
    await still_serves(target)


async def test_content_type_that_is_not_grpc(target: Target) -> None:
    """415 from a server that speaks gRPC only; grpc's own server is lenient. Never a hang, never a lost connection."""
    async with WireClient(target.address) as wire:
        stream = wire.start(UNARY, content_type="text/html")
        stream.send_data(GOOD, end_stream=True)
        answer = Answer(tuple(await stream.rest()))

        assert [frame for frame in answer.frames if isinstance(frame, Headers)] != []
    await still_serves(target)


async def test_a_request_never_finished_holds_up_nobody(target: Target) -> None:
    """A slow-loris: fifty streams that open, send half a message and go silent."""
    async with WireClient(target.address) as wire:
        for _ in range(50):
            wire.start(CLIENT_STREAM).send_data(GOOD[:7])
        async with asyncio.timeout(5):
            for _ in range(5):
                assert (await wire.call(UNARY, body=GOOD)).grpc_status == OK


async def test_a_hundred_streams_reset_at_once(target: Target) -> None:
    """Opened and reset before anything is answered; the next calls on the connection or a new one are served."""
    async with WireClient(target.address) as wire:
        for _ in range(100):
            stream = wire.start(BIDI)
            stream.send_data(GOOD)
            stream.reset(8)
    await still_serves(target)
