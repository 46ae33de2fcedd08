"""A daemon that is late, killed or stopped, as a process: what clients see, and how soon it is over."""

from __future__ import annotations

import asyncio
import signal
import time

import grpc
import pytest

from proxy.children import send_signal
from proxy.tasks import spawn
from proxy.testing.stack import ProcessStack
from tests.conformance.backend import Backend
from tests.conformance.client import Client, drained, named, new_call_id, outcome
from tests.conformance.journal import seen
from tests.conformance.pb import conformance_pb2 as pb

pytestmark = pytest.mark.slow

ECHO = pb.CallRequest(payload=b"content", echo=True)
HELD = pb.CallRequest(payload=b"content", echo=True, hold=True)
OK, UNAVAILABLE = grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE
REASON = "x-headway-dropped-reason"


async def until_ok(client: Client, *, within_s: float) -> float:
    """Call until it works; how long that took. Each failure meanwhile is UNAVAILABLE and comes at once."""
    began_at = time.monotonic()
    async with asyncio.timeout(within_s):
        while True:
            asked_at = time.monotonic()
            result = await outcome(client.unary(ECHO))
            if result.code is OK:
                return time.monotonic() - began_at
            assert result.code is UNAVAILABLE
            assert time.monotonic() - asked_at < 1.5
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("transport", ["quic", "tcp"])
async def test_a_daemon_that_comes_after_its_proxy_is_killed_and_comes_back(transport: str) -> None:
    call_id = new_call_id()
    async with (
        Backend() as backend,
        ProcessStack(backend.address, transport=transport, start=False) as stack,
        Client(stack.address) as client,
    ):
        await stack.start_proxy()
        first = await outcome(client.unary(ECHO, wait_for_ready=True))
        asked_at = time.monotonic()
        second = await outcome(client.unary(ECHO))
        assert time.monotonic() - asked_at < 0.5
        for refused in (first, second):
            assert refused.code is UNAVAILABLE
            assert stack.daemon_address in refused.details
        await stack.start_daemon()
        assert await until_ok(client, within_s=10) < 3.0
        under_way = spawn(outcome(client.unary(HELD, metadata=named(call_id))), name="under way")
        await seen(backend.calls[call_id].started)
        killed_at = time.monotonic()
        await stack.kill_daemon()
        failed = await under_way
        assert time.monotonic() - killed_at < 1.5  # a second, and what this machine is behind
        assert failed.code is UNAVAILABLE
        assert stack.daemon_address in failed.details
        for _ in range(3):
            asked_at = time.monotonic()
            refused = await outcome(client.unary(ECHO))
            assert time.monotonic() - asked_at < 1.0
            assert refused.code is UNAVAILABLE
            assert stack.daemon_address in refused.details
        await stack.start_daemon()
        assert await until_ok(client, within_s=10) < 3.0
        assert await stack.terminate_proxy() == 0


@pytest.mark.parametrize("role", ["proxy", "daemon"])
async def test_sigterm_lets_calls_finish_and_refuses_new_ones(role: str) -> None:
    call_id = new_call_id()
    async with Backend() as backend, ProcessStack(backend.address) as stack, Client(stack.address) as client:
        call = client.bidi(metadata=named(call_id))
        await call.write(ECHO)
        assert (await call.read()).payload == b"content"
        process = stack.process(role)
        send_signal(process.process, signal.SIGTERM)
        await process.logged("calls in progress may finish")
        refused = await outcome(client.unary(ECHO))
        assert refused.code is UNAVAILABLE
        if role == "proxy":
            assert dict(refused.trailing)[REASON] == "rejected-shutting-down"
        await call.write(ECHO)
        assert (await call.read()).payload == b"content"
        assert process.process.returncode is None
        await call.done_writing()
        assert (await drained(call)).code is OK
        async with asyncio.timeout(5):
            assert await process.exited() == 0
