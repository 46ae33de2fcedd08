"""Messages from nothing to 16 MiB, and what happens at the configured limit."""

import hashlib

import grpc
import pytest

from tests.conformance.backend import MAX_MESSAGE_BYTES, Backend
from tests.conformance.client import Client, named, new_call_id, outcome, sending
from tests.conformance.conftest import Path
from tests.conformance.payload import payload
from tests.conformance.pb import conformance_pb2 as pb

SIXTEEN_MIB = 16 * 1024 * 1024
LIMIT = 100_000


@pytest.mark.slow
async def test_sixteen_mebibytes_both_ways(client: Client) -> None:
    content = payload(SIXTEEN_MIB, seed=16)
    response = await client.unary(pb.CallRequest(payload=content, echo=True))

    assert response.payload == content
    assert response.received_sha256 == hashlib.sha256(content).digest()


@pytest.mark.slow
async def test_sixteen_mebibytes_down_a_stream(client: Client) -> None:
    replies = [pb.Reply(size_bytes=SIXTEEN_MIB, seed=1), pb.Reply(size_bytes=1, seed=2)]
    result = await outcome(client.server_stream(pb.CallRequest(replies=replies)))

    assert [message.payload for message in result.messages] == [payload(SIXTEEN_MIB, seed=1), payload(1, seed=2)]


@pytest.mark.slow
async def test_sixteen_mebibytes_up_a_stream(client: Client) -> None:
    contents = [b"before", payload(SIXTEEN_MIB, seed=3), b"after"]
    response = await client.client_stream(sending(pb.CallRequest(payload=content) for content in contents))

    assert response.received_sha256 == hashlib.sha256(b"".join(contents)).digest()


@pytest.mark.parametrize("size_bytes", [1, 1023, 1024, 16_379, 16_384, 65_530, 65_535, 65_536, 131_073])
async def test_sizes_around_the_boundaries_of_frames_and_windows(client: Client, size_bytes: int) -> None:
    content = payload(size_bytes, seed=size_bytes)
    response = await client.unary(pb.CallRequest(payload=content, echo=True))

    assert response.payload == content


async def test_messages_of_no_bytes(client: Client) -> None:
    """An empty message is a message: five come, and they count."""
    response = await client.client_stream(sending(pb.CallRequest() for _ in range(5)))

    assert (response.received_messages, response.received_bytes) == (5, 0)


def request_of(size_bytes: int) -> pb.CallRequest:
    """Return a request that is exactly `size_bytes` long when serialized."""
    request = pb.CallRequest(payload=bytes(size_bytes - 4))
    assert request.ByteSize() == size_bytes
    return request


async def test_message_limit_upwards(path: Path) -> None:
    """Up to the limit it passes; one byte over, the error names the limit and nothing else on the way suffers."""
    backend_limit = LIMIT if path.is_direct else MAX_MESSAGE_BYTES
    async with (
        Backend(max_message_bytes=backend_limit) as backend,
        path.open(backend.address, max_message_bytes=LIMIT) as address,
        Client(address) as client,
    ):
        other_id = new_call_id()
        other = client.bidi(metadata=named(other_id))
        await other.write(pb.CallRequest(payload=b"one", echo=True))
        assert (await other.read()).payload == b"one"

        for size_bytes in (LIMIT - 1, LIMIT):
            assert (await client.unary(request_of(size_bytes))).received_bytes == size_bytes - 4
        for call in (client.unary(request_of(LIMIT + 1)), client.bidi(sending([request_of(LIMIT + 1)]))):
            refused = await outcome(call)
            assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert str(LIMIT) in refused.details

        await other.write(pb.CallRequest(payload=b"two", echo=True))
        assert (await other.read()).payload == b"two"
        await other.done_writing()
        assert await other.code() is grpc.StatusCode.OK


@pytest.mark.headway_only
async def test_message_limit_downwards(path: Path) -> None:
    async with (
        Backend() as backend,
        path.open(backend.address, max_message_bytes=LIMIT) as address,
        Client(address) as client,
    ):
        answers = client.server_stream(pb.CallRequest(replies=[pb.Reply(size_bytes=LIMIT - 100)] * 2))
        assert len((await outcome(answers)).messages) == 2

        refused = await outcome(client.unary(pb.CallRequest(replies=[pb.Reply(size_bytes=LIMIT + 1)])))
        assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert str(LIMIT) in refused.details

        assert (await outcome(client.empty(pb.Nothing()))).code is grpc.StatusCode.OK
