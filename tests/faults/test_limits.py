"""The message limit while others are busy (fault 7), with messages of 16 MiB."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from proxy.testing.stack import HeadwayStack
from tests.conformance.backend import Backend
from tests.conformance.client import Client, Outcome, outcome
from tests.conformance.pb import conformance_pb2 as pb

LIMIT = 16 * 1024 * 1024


def request_of(size_bytes: int) -> pb.CallRequest:
    """A request that is exactly `size_bytes` long when serialized."""
    request = pb.CallRequest(payload=bytes(size_bytes - 6))
    while request.ByteSize() < size_bytes:
        request.payload += b"\0"
    assert request.ByteSize() == size_bytes
    return request


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["quic", "tcp"])
async def test_others_meet_their_deadlines_around_a_message_of_the_limit(transport: str) -> None:
    async with (
        Backend() as backend,
        HeadwayStack(backend.address, transport=transport, max_message_bytes=LIMIT) as stack,
        Client(stack.address) as heavy,
        Client(stack.address) as light,
    ):
        await light.unary(pb.CallRequest(), wait_for_ready=True)
        over = asyncio.Event()

        async def small_calls() -> list[Outcome]:
            results = []
            while not over.is_set():
                results.append(await outcome(light.unary(pb.CallRequest(payload=b"small"), timeout=2.0)))
            return results

        async with asyncio.TaskGroup() as group:
            others = group.create_task(small_calls())
            sizes = (LIMIT - 1, LIMIT, LIMIT + 1)
            results = [await outcome(heavy.unary(request_of(size_bytes))) for size_bytes in sizes]
            over.set()
    assert [result.code for result in results] == [
        grpc.StatusCode.OK,
        grpc.StatusCode.OK,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    ]
    assert str(LIMIT) in results[2].details
    assert {result.code for result in others.result()} == {grpc.StatusCode.OK}
    assert len(others.result()) >= 10
