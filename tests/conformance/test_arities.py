"""The four arities, as the public interop descriptions have them: content, order and counts."""

import asyncio
import hashlib

import grpc

from tests.conformance.backend import EOF
from tests.conformance.client import Client, outcome, sending
from tests.conformance.payload import payload
from tests.conformance.pb import conformance_pb2 as pb

SIZES_UP = (27182, 8, 1828, 45904)
SIZES_DOWN = (31415, 9, 2653, 58979)


async def test_empty_unary(client: Client) -> None:
    result = await outcome(client.empty(pb.Nothing()))

    assert (result.code, result.details, result.messages) == (grpc.StatusCode.OK, "", (pb.Nothing(),))


async def test_large_unary(client: Client) -> None:
    up = payload(271828, seed=1)

    response = await client.unary(
        pb.CallRequest(payload=up, replies=[pb.Reply(size_bytes=314159, seed=2)]),
    )

    assert response.payload == payload(314159, seed=2)
    assert response.received_sha256 == hashlib.sha256(up).digest()


async def test_client_streaming(client: Client) -> None:
    contents = [payload(size, seed) for seed, size in enumerate(SIZES_UP)]

    response = await client.client_stream(sending(pb.CallRequest(payload=content) for content in contents))

    assert (response.received_messages, response.received_bytes) == (4, 74922)
    assert response.received_sha256 == hashlib.sha256(b"".join(contents)).digest()


async def test_server_streaming(client: Client) -> None:
    replies = [pb.Reply(size_bytes=size, seed=seed) for seed, size in enumerate(SIZES_DOWN)]

    result = await outcome(client.server_stream(pb.CallRequest(replies=replies)))

    assert result.code is grpc.StatusCode.OK
    assert [message.payload for message in result.messages] == [
        payload(size, seed) for seed, size in enumerate(SIZES_DOWN)
    ]


async def test_ping_pong(client: Client) -> None:
    call = client.bidi()
    for seed, (up, down) in enumerate(zip(SIZES_UP, SIZES_DOWN, strict=True)):
        await call.write(
            pb.CallRequest(payload=payload(up, seed), replies=[pb.Reply(size_bytes=down, seed=seed)]),
        )
        response = await call.read()
        assert response.payload == payload(down, seed)
        assert response.received_messages == seed + 1
    await call.done_writing()

    assert await call.read() is EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_empty_stream(client: Client) -> None:
    call = client.bidi()
    await call.done_writing()

    result = await outcome(call)

    assert (result.code, result.messages) == (grpc.StatusCode.OK, ())


async def test_empty_client_stream(client: Client) -> None:
    response = await client.client_stream(sending(()))

    assert (response.received_messages, response.received_bytes) == (0, 0)


async def test_server_stream_without_messages(client: Client) -> None:
    result = await outcome(client.server_stream(pb.CallRequest()))

    assert (result.code, result.messages) == (grpc.StatusCode.OK, ())


async def test_both_directions_at_once(client: Client) -> None:
    """Neither side waits for the other: 200 messages go up while their echoes come down."""
    contents = [payload(997, seed) for seed in range(200)]
    call = client.bidi(sending(pb.CallRequest(payload=content, echo=True) for content in contents))

    async with asyncio.timeout(10):
        result = await outcome(call)

    assert [message.payload for message in result.messages] == contents
