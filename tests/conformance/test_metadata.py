"""Metadata both ways: untouched, in order, bytes included, and early when sent early."""

import asyncio

import grpc
import pytest

from tests.conformance.client import Client, Metadata, by_key, named, new_call_id, outcome, pairs, sending
from tests.conformance.conftest import Target
from tests.conformance.pb import conformance_pb2 as pb

BINARY = bytes(range(256)) + b"\x00\xff"
CUSTOM: Metadata = (
    ("x-echo-initial", "test_initial_metadata_value"),
    ("x-echo-initial-bin", BINARY),
    ("x-echo-initial", "second, with a comma"),
    ("x-echo-trailing-bin", b"\x0a\x0b\x0a\x0b\x0a\x0b"),
    ("x-echo-trailing", "text"),
    ("x-echo-trailing-bin", b""),
    ("x-echo-trailing-bin", b"\x00\xff"),
)
INITIAL = tuple(item for item in CUSTOM if item[0].startswith("x-echo-initial"))
TRAILING = tuple(item for item in CUSTOM if item[0].startswith("x-echo-trailing"))
# headway's own headers, and hop-by-hop ones, end at the hop they are for.
HEADWAY_ONLY_PREFIXES = ("headway-", "x-headway-", "priority", ":")


async def test_custom_metadata_unary(client: Client) -> None:
    result = await outcome(client.unary(pb.CallRequest(), metadata=CUSTOM))

    assert result.code is grpc.StatusCode.OK
    assert by_key(result.initial) == by_key(INITIAL)
    assert by_key(result.without_headway().trailing) == by_key(TRAILING)


async def test_custom_metadata_bidi(client: Client) -> None:
    requests = [pb.CallRequest(payload=b"one", echo=True), pb.CallRequest(payload=b"two", echo=True)]
    result = await outcome(client.bidi(sending(requests), metadata=CUSTOM))

    assert [message.payload for message in result.messages] == [b"one", b"two"]
    assert by_key(result.initial) == by_key(INITIAL)
    assert by_key(result.without_headway().trailing) == by_key(TRAILING)


async def test_trailing_metadata_with_an_error(client: Client) -> None:
    request = pb.CallRequest(end=pb.End(code=9, message="no"))
    result = await outcome(client.unary(request, metadata=TRAILING))

    assert (result.code, result.details, result.initial) == (grpc.StatusCode.FAILED_PRECONDITION, "no", ())
    assert by_key(result.without_headway().trailing) == by_key(TRAILING)


async def test_initial_and_trailing_metadata_with_an_error(client: Client) -> None:
    request = pb.CallRequest(headers_first=True, end=pb.End(code=9, message="no"))
    result = await outcome(client.unary(request, metadata=CUSTOM))

    assert (result.code, result.details) == (grpc.StatusCode.FAILED_PRECONDITION, "no")
    assert by_key(result.initial) == by_key(INITIAL)
    assert by_key(result.without_headway().trailing) == by_key(TRAILING)


async def test_headway_adds_only_its_own_prefix_and_only_to_the_trailers(client: Client) -> None:
    result = await outcome(client.unary(pb.CallRequest()))

    assert result.initial == ()
    assert result.without_headway().trailing == ()


async def test_request_metadata_reaches_the_backend_untouched(client: Client, target: Target) -> None:
    sent: Metadata = (
        ("authorization", "Bearer not-for-logs"),
        ("x-many", "1"),
        ("x-binary-bin", BINARY),
        ("x-many", "2"),
        ("x-empty", ""),
        ("x-many", "3,4"),
        ("x.dots_and-dashes", "~!@#$%^&*()_+{}|:<>?"),
    )
    call_id = new_call_id()
    await client.unary(pb.CallRequest(), metadata=named(call_id, *sent))

    names = {key for key, _ in sent}
    seen_there = target.backend.calls[call_id].metadata
    assert by_key(tuple(item for item in seen_there if item[0] in names)) == by_key(sent)


async def test_nothing_of_the_tunnel_reaches_the_backend(client: Client, target: Target) -> None:
    """The token that lets a proxy into a daemon, above all."""
    call_id = new_call_id()
    await client.unary(pb.CallRequest(), metadata=named(call_id))

    names = [key for key, _ in target.backend.calls[call_id].metadata]
    assert [name for name in names if name.startswith(HEADWAY_ONLY_PREFIXES)] == []


@pytest.mark.parametrize("arity", ["server_stream", "bidi"])
async def test_initial_metadata_sent_early_arrives_early(client: Client, target: Target, arity: str) -> None:
    """The client has the headers while the backend still holds the first message back."""
    call_id = new_call_id()
    held = pb.CallRequest(headers_first=True, hold=True, payload=b"late", echo=True)
    request = sending([held]) if arity == "bidi" else held
    call = getattr(client, arity)(request, metadata=named(call_id, ("x-echo-initial", "early")))

    async with asyncio.timeout(5):
        initial = pairs(await call.initial_metadata())
    gate_was_open = target.backend.calls[call_id].gate.is_set()
    target.backend.calls[call_id].gate.set()
    result = await outcome(call)

    assert initial == (("x-echo-initial", "early"),)
    assert not gate_was_open
    assert [message.payload for message in result.messages] == ([b"late"])


async def test_empty_initial_metadata_sent_early_arrives_early(client: Client, target: Target) -> None:
    """Headers with nothing in them still tell the client that the backend has taken the call."""
    call_id = new_call_id()
    held = pb.CallRequest(headers_first=True, hold=True)
    call = client.bidi(sending([held]), metadata=named(call_id))

    async with asyncio.timeout(5):
        initial = pairs(await call.initial_metadata())
    target.backend.calls[call_id].gate.set()

    assert initial == ()
    assert (await outcome(call)).code is grpc.StatusCode.OK


async def test_seven_kilobytes_of_metadata_each_way(client: Client) -> None:
    """Below the 8 KiB that gRPC suggests every implementation takes."""
    metadata = (("x-echo-initial", "i" * 3500), ("x-echo-trailing-bin", b"\x01" * 2500))
    result = await outcome(client.unary(pb.CallRequest(), metadata=metadata))

    assert result.code is grpc.StatusCode.OK
    assert result.initial == (("x-echo-initial", "i" * 3500),)
    assert result.without_headway().trailing == (("x-echo-trailing-bin", b"\x01" * 2500),)
