"""Each side ends its own direction: answers after half-close, and ends before it."""

import asyncio

import grpc

from tests.conformance.backend import EOF, SERVICE
from tests.conformance.client import Client, drained, named, new_call_id
from tests.conformance.conftest import Target
from tests.conformance.journal import seen
from tests.conformance.pb import conformance_pb2 as pb
from tests.conformance.wire import Answer, WireClient, framed


async def test_answers_only_after_half_close(client: Client, target: Target) -> None:
    call_id = new_call_id()
    record = target.backend.calls[call_id]
    call = client.bidi_after_half_close(metadata=named(call_id))
    for content in (b"a", b"bb", b"ccc"):
        await call.write(pb.CallRequest(payload=content, echo=True))
    await record.received.reach(3)
    assert not record.half_closed.is_set()
    await call.done_writing()

    result = await drained(call)
    assert [message.payload for message in result.messages] == [b"a", b"bb", b"ccc"]
    assert result.code is grpc.StatusCode.OK


async def test_half_close_reaches_the_backend_while_the_call_stays_open(client: Client, target: Target) -> None:
    call_id = new_call_id()
    record = target.backend.calls[call_id]
    call = client.bidi_after_half_close(metadata=named(call_id))
    await call.write(pb.CallRequest(payload=b"held", echo=True, hold=True))
    await call.done_writing()

    await seen(record.half_closed)
    assert not record.finished.is_set()
    record.gate.set()
    assert [message.payload for message in (await drained(call)).messages] == [b"held"]


async def test_half_close_without_messages_reaches_the_backend(client: Client, target: Target) -> None:
    call_id = new_call_id()
    call = client.client_stream(metadata=named(call_id))
    await seen(target.backend.calls[call_id].started)
    await call.done_writing()

    assert (await call).received_messages == 0


async def test_a_call_starts_at_the_backend_before_its_first_message(client: Client, target: Target) -> None:
    """Headers travel by themselves: a client that waits for the server's first word gets it."""
    call_id = new_call_id()
    call = client.bidi(metadata=named(call_id))
    await seen(target.backend.calls[call_id].started)
    await call.done_writing()

    assert (await drained(call)).code is grpc.StatusCode.OK


async def test_server_finishes_before_the_client_half_closes(client: Client) -> None:
    call = client.bidi()
    await call.write(pb.CallRequest(payload=b"last", echo=True, end=pb.End(code=0)))

    assert (await call.read()).payload == b"last"
    async with asyncio.timeout(5):
        assert await call.read() is EOF
        assert await call.code() is grpc.StatusCode.OK


async def test_client_stream_answered_before_the_client_half_closes(client: Client) -> None:
    call = client.client_stream()
    await call.write(pb.CallRequest(payload=b"enough", end=pb.End(code=0)))

    async with asyncio.timeout(5):
        assert (await call).received_bytes == 6
        assert await call.code() is grpc.StatusCode.OK


async def test_status_while_the_client_is_still_streaming(client: Client) -> None:
    call = client.client_stream()
    await call.write(pb.CallRequest(payload=b"good"))
    await call.write(pb.CallRequest(payload=b"bad", end=pb.End(code=9, message="stop")))

    async with asyncio.timeout(5):
        assert (await call.code(), await call.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "stop")


async def test_status_in_the_middle_of_an_upload(target: Target) -> None:
    """The client still has 8 MB to send, which nobody will read, when the status comes; ten times, for the race.

    On the wire, because grpc.aio's own client turns a write that fails so into INTERNAL and hides the status.
    """
    refused = framed(pb.CallRequest(end=pb.End(code=8, message="quota")).SerializeToString())
    rest = framed(pb.CallRequest(payload=bytes(1_000_000)).SerializeToString()) * 8
    for _ in range(10):
        async with WireClient(target.address) as wire:
            stream = wire.start(f"/{SERVICE}/ClientStream")
            stream.send_data(refused + rest)
            answer = Answer(tuple(await stream.rest()))

        assert (answer.grpc_status, answer.grpc_message) == (8, "quota")
