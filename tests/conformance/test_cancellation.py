"""A client that gives up, by choice, by deadline or by vanishing, frees the backend's call."""

import asyncio
import time

import grpc
import pytest

from tests.conformance.backend import SERVICE
from tests.conformance.client import Client, drained, named, new_call_id, outcome
from tests.conformance.conftest import Target
from tests.conformance.journal import CALL_ID_KEY, HOLD_END_KEY, seen
from tests.conformance.pb import conformance_pb2 as pb
from tests.conformance.wire import WireClient, framed

HTTP2_CANCEL = 8
HELD = pb.CallRequest(hold=True)
HOLD_END = (HOLD_END_KEY, "1")


async def test_cancel_after_begin(client: Client) -> None:
    call = client.client_stream()
    call.cancel()

    assert await call.code() is grpc.StatusCode.CANCELLED


async def test_cancel_after_begin_reaches_the_backend(client: Client, target: Target) -> None:
    call_id = new_call_id()
    call = client.client_stream(metadata=named(call_id, HOLD_END))
    await seen(target.backend.calls[call_id].started)
    call.cancel()

    assert await call.code() is grpc.StatusCode.CANCELLED
    await seen(target.backend.calls[call_id].cancelled)


async def test_cancel_after_first_response(client: Client, target: Target) -> None:
    call_id = new_call_id()
    call = client.bidi(metadata=named(call_id, HOLD_END))
    await call.write(pb.CallRequest(payload=b"first", echo=True))
    assert (await call.read()).payload == b"first"
    call.cancel()

    assert await call.code() is grpc.StatusCode.CANCELLED
    await seen(target.backend.calls[call_id].cancelled)


async def test_cancel_of_a_unary_call_reaches_the_backend(client: Client, target: Target) -> None:
    call_id = new_call_id()
    call = client.unary(HELD, metadata=named(call_id))
    await seen(target.backend.calls[call_id].started)
    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call
    await seen(target.backend.calls[call_id].cancelled)


async def test_cancel_in_the_middle_of_a_server_stream(client: Client, target: Target) -> None:
    """The stream is longer than any window, so that the backend is writing when the cancel comes."""
    call_id = new_call_id()
    replies = [pb.Reply(size_bytes=1_000_000, seed=seed) for seed in range(64)]
    call = client.server_stream(pb.CallRequest(replies=replies), metadata=named(call_id))
    assert len((await call.read()).payload) == 1_000_000
    call.cancel()

    assert await call.code() is grpc.StatusCode.CANCELLED
    await seen(target.backend.calls[call_id].cancelled)


async def test_cancel_leaves_other_calls_alone(client: Client, target: Target) -> None:
    kept_id, dropped_id = new_call_id(), new_call_id()
    kept, dropped = client.bidi(metadata=named(kept_id)), client.bidi(metadata=named(dropped_id, HOLD_END))
    for call in (kept, dropped):
        await call.write(pb.CallRequest(payload=b"one", echo=True))
        assert (await call.read()).payload == b"one"
    dropped.cancel()
    await seen(target.backend.calls[dropped_id].cancelled)

    await kept.write(pb.CallRequest(payload=b"two", echo=True))
    assert (await kept.read()).payload == b"two"
    await kept.done_writing()
    assert await kept.code() is grpc.StatusCode.OK
    assert not target.backend.calls[kept_id].cancelled.is_set()


async def test_timeout_on_sleeping_server(client: Client, target: Target) -> None:
    await client.empty(pb.Nothing())  # the connection is up, so that only the call is timed
    call_id = new_call_id()
    started_at = time.monotonic()
    result = await outcome(client.unary(HELD, metadata=named(call_id), timeout=0.05))
    took_s = time.monotonic() - started_at

    assert result.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert 0.045 <= took_s < 0.3
    await seen(target.backend.calls[call_id].cancelled)


async def test_timeout_on_a_sleeping_stream(client: Client, target: Target) -> None:
    call_id = new_call_id()
    call = client.bidi(metadata=named(call_id), timeout=0.3)
    await call.write(pb.CallRequest(payload=b"in time", echo=True))
    assert (await call.read()).payload == b"in time"
    await call.write(HELD)

    result = await drained(call)
    assert (result.code, result.messages) == (grpc.StatusCode.DEADLINE_EXCEEDED, ())
    await seen(target.backend.calls[call_id].cancelled)


async def test_the_deadline_reaches_the_backend(client: Client, target: Target) -> None:
    """A deadline only shrinks on its way, save for grpc's own rounding: up to the next 100 ms at 10 to 100 s, a hop."""
    call_id = new_call_id()
    await client.unary(pb.CallRequest(), metadata=named(call_id), timeout=20.0)

    remaining_s = target.backend.calls[call_id].time_remaining_s
    assert remaining_s is not None
    assert 15.0 < remaining_s <= (20.1 if target.path.is_direct else 20.2)


async def test_without_a_deadline_the_backend_sees_none(client: Client, target: Target) -> None:
    call_id = new_call_id()
    await client.unary(pb.CallRequest(), metadata=named(call_id))

    assert target.backend.calls[call_id].time_remaining_s is None


@pytest.mark.headway_only
async def test_deadline_passed_while_the_backend_ignores_it(client: Client, target: Target) -> None:
    """Late is late for the client even where nobody behind headway enforces the deadline."""
    call_id = new_call_id()
    call = client.unary(HELD, metadata=named(call_id), timeout=0.1)
    result = await outcome(call)
    target.backend.calls[call_id].gate.set()

    assert result.code is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_reset_by_the_client_reaches_the_backend(target: Target) -> None:
    call_id = new_call_id()
    async with WireClient(target.address) as wire:
        stream = wire.start(f"/{SERVICE}/Unary", (CALL_ID_KEY, call_id))
        stream.send_data(framed(HELD.SerializeToString()), end_stream=True)
        await seen(target.backend.calls[call_id].started)
        stream.reset(HTTP2_CANCEL)

        await seen(target.backend.calls[call_id].cancelled)


async def test_a_client_that_vanishes_frees_its_calls(target: Target) -> None:
    """As when the client's process is killed: the connection is cut without a reset of any stream."""
    call_ids = [new_call_id() for _ in range(5)]
    async with WireClient(target.address) as wire:
        for call_id in call_ids:
            stream = wire.start(f"/{SERVICE}/Bidi", (CALL_ID_KEY, call_id))
            stream.send_data(framed(HELD.SerializeToString()))
            await seen(target.backend.calls[call_id].started)
        wire.abort()
        for call_id in call_ids:
            await seen(target.backend.calls[call_id].cancelled)
