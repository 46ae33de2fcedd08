"""A backend that is down when headway starts (fault 25)."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from grpc_health.v1 import health_pb2

from proxy.clock import MonotonicClock
from proxy.testing.ports import free_port
from proxy.testing.stack import HeadwayStack
from tests.conformance.backend import Backend
from tests.conformance.client import Client, outcome
from tests.conformance.pb import conformance_pb2 as pb

NOW = MonotonicClock().now
SERVING, NOT_SERVING = 1, 2


async def health(client: Client) -> int:
    check = client.channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        health_pb2.HealthCheckRequest.SerializeToString,
        health_pb2.HealthCheckResponse.FromString,
    )
    answer = await check(health_pb2.HealthCheckRequest(), timeout=5)
    return int(answer.status)


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["quic", "tcp"])
async def test_down_at_start_is_told_at_once_and_up_later_needs_no_restart(transport: str) -> None:
    port = free_port()
    async with HeadwayStack(f"127.0.0.1:{port}", transport=transport) as stack, Client(stack.address) as client:
        for _ in range(3):
            started_at = NOW()
            result = await outcome(client.empty(pb.Nothing()))
            assert result.code is grpc.StatusCode.UNAVAILABLE
            assert f"triton 'a' at 127.0.0.1:{port}" in result.details
            assert NOW() - started_at < 1
        assert await health(client) == NOT_SERVING
        async with Backend(port=port) as backend:
            await backend.health.set("", health_pb2.HealthCheckResponse.SERVING)
            async with asyncio.timeout(3):
                # Each failed call takes its time: grpc tries again once a second, and nothing tells of it.
                while (result := await outcome(client.empty(pb.Nothing()))).code is grpc.StatusCode.UNAVAILABLE:
                    pass
            assert result.code is grpc.StatusCode.OK
            assert await health(client) == SERVING
