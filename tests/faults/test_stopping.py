"""Stopping while calls are under way (fault 40): what clients see, and how long it takes."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import grpc
import h2.connection
import pytest
from grpc_health.v1 import health_pb2

from proxy.children import send_signal
from proxy.tasks import spawn
from proxy.testing.stack import HeadwayStack, ProcessStack
from tests.conformance.backend import SERVICE, Backend
from tests.conformance.client import Client, drained, named, new_call_id, outcome
from tests.conformance.journal import seen
from tests.conformance.pb import conformance_pb2 as pb
from tests.conformance.wire import Answer, Connection, framed

NOT_SERVING = 2
ECHO = pb.CallRequest(payload=b"content", echo=True)
HELD = pb.CallRequest(payload=b"content", echo=True, hold=True)


async def health(client: Client) -> int:
    check = client.channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        health_pb2.HealthCheckRequest.SerializeToString,
        health_pb2.HealthCheckResponse.FromString,
    )
    return int((await check(health_pb2.HealthCheckRequest(), timeout=5)).status)


@pytest.mark.parametrize("role", ["proxy", "daemon"])
@pytest.mark.parametrize("transport", ["quic", "tcp"])
async def test_calls_under_way_finish_and_new_ones_are_unavailable(role: str, transport: str) -> None:
    call_id = new_call_id()
    async with (
        Backend() as backend,
        HeadwayStack(backend.address, transport=transport) as stack,
        Client(stack.address) as client,
    ):
        call = client.bidi(metadata=named(call_id))
        await call.write(ECHO)
        assert (await call.read()).payload == b"content"
        draining = spawn((stack.proxy if role == "proxy" else stack.daemon).drain(), name="drain")
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            while (refused := await outcome(client.empty(pb.Nothing()))).code is grpc.StatusCode.OK:
                pass  # the proxy has not heard of the daemon's draining yet
        assert refused.code is grpc.StatusCode.UNAVAILABLE
        assert await health(client) == NOT_SERVING
        assert not draining.done()
        await call.write(ECHO)
        assert (await call.read()).payload == b"content"
        await call.done_writing()
        assert (await drained(call)).code is grpc.StatusCode.OK
        async with asyncio.timeout(2):
            assert await draining


@pytest.mark.slow
@pytest.mark.parametrize("role", ["proxy", "daemon"])
@pytest.mark.parametrize("transport", ["quic", "tcp"])
async def test_a_call_that_does_not_finish_is_waited_for_as_long_as_configured(role: str, transport: str) -> None:
    call_id = new_call_id()
    ends: dict[str, Any] = {role: {"drain": "200ms"}}
    async with (
        Backend() as backend,
        HeadwayStack(backend.address, transport=transport, **ends) as stack,
        Client(stack.address) as client,
    ):
        call = client.unary(HELD, metadata=named(call_id))
        await seen(backend.calls[call_id].started)
        stopping = stack.proxy if role == "proxy" else stack.daemon
        async with asyncio.timeout(1):
            assert not await stopping.drain()
        await stopping.close()
        result = await outcome(call)
        assert result.code is grpc.StatusCode.UNAVAILABLE
        await seen(backend.calls[call_id].cancelled)


def state_of(connection: Connection) -> str:
    """`CLOSED` after a GOAWAY; a connection that merely breaks stays as it was."""
    state: h2.connection.ConnectionState = connection.h2.state_machine.state
    return state.name


async def test_clients_are_told_to_go_away() -> None:
    """GOAWAY, so that a client opens its next connection elsewhere instead of meeting a broken one."""
    async with Backend() as backend, HeadwayStack(backend.address) as stack:
        host, _, port = stack.address.rpartition(":")
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: Connection(client_side=True), host, int(port))
        stream = connection.open(1)
        stream.send_headers(
            [
                (":method", "POST"),
                (":scheme", "http"),
                (":path", f"/{SERVICE}/Unary"),
                (":authority", stack.address),
                ("te", "trailers"),
                ("content-type", "application/grpc"),
            ]
        )
        stream.send_data(framed(ECHO.SerializeToString()), end_stream=True)
        assert Answer(tuple(await stream.rest())).grpc_status == 0
        assert state_of(connection) == "CLIENT_OPEN"
        assert await stack.proxy.drain()
        await stack.proxy.close()
        async with asyncio.timeout(2):
            await connection.lost
        assert state_of(connection) == "CLOSED"


@pytest.mark.slow
@pytest.mark.parametrize("role", ["proxy", "daemon"])
async def test_a_second_signal_does_not_wait_for_calls(role: str) -> None:
    """The exit code is 0 as after one signal, of which `tests/loopback/test_daemon_goes.py` has the test."""
    call_id = new_call_id()
    async with (
        Backend() as backend,
        ProcessStack(backend.address) as stack,
        Client(stack.address) as client,
    ):
        await client.empty(pb.Nothing(), wait_for_ready=True)
        call = client.unary(HELD, metadata=named(call_id))
        record = backend.calls[call_id]
        await seen(record.started)
        process = stack.proxy_process if role == "proxy" else stack.daemon_process
        send_signal(process, signal.SIGTERM)
        async with asyncio.timeout(5):
            while (await outcome(client.empty(pb.Nothing()))).code is grpc.StatusCode.OK:
                pass  # the signal has not been seen yet
        assert process.returncode is None
        send_signal(process, signal.SIGTERM)
        async with asyncio.timeout(2):
            assert await process.wait() == 0
            result = await outcome(call)
        assert result.code is grpc.StatusCode.UNAVAILABLE
        await seen(record.cancelled)
