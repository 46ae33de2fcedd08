"""Daemons that are killed, stopped, late or wrong, as processes: what clients see, and how soon it is over."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest

from proxy.children import send_signal
from proxy.tasks import spawn
from proxy.testing.ports import free_port
from proxy.testing.stack import HeadwayProcess, ProcessStack
from tests.conformance.backend import Backend
from tests.conformance.client import Client, Outcome, drained, named, new_call_id, outcome
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
async def test_a_daemon_that_is_killed_and_comes_back(transport: str) -> None:
    call_id = new_call_id()
    async with (
        Backend() as backend,
        ProcessStack(backend.address, transport=transport) as stack,
        Client(stack.address) as client,
    ):
        assert (await client.unary(ECHO)).payload == b"content"
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


@pytest.mark.parametrize("transport", ["quic", "tcp"])
async def test_a_proxy_that_is_there_before_its_daemon(transport: str) -> None:
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


# Several daemons


@asynccontextmanager
async def two_daemons(backend: Backend, transport: str = "quic") -> AsyncIterator[tuple[ProcessStack, HeadwayProcess]]:
    """A proxy with two daemons: the stack's own, and another."""
    other_address = f"127.0.0.1:{free_port()}"
    async with ProcessStack(backend.address, transport=transport, start=False) as stack:
        stack.files.settings["proxy"]["daemons"] = [stack.daemon_address, other_address]
        other = HeadwayProcess("daemon", stack.files.write("other.yaml", daemon_listen=other_address))
        try:
            await asyncio.gather(stack.start_daemon(), stack.start_proxy(), other.start())
            for address in (stack.daemon_address, other_address):
                await stack.logged("proxy", f"Tunnel to {address} is up")
            yield stack, other
        finally:
            await other.stop()


@pytest.mark.parametrize("transport", ["quic", "tcp"])
async def test_calls_go_on_when_one_of_two_daemons_is_killed_and_none_runs_twice(transport: str) -> None:
    async with (
        Backend() as backend,
        two_daemons(backend, transport) as (stack, other),
        Client(stack.address) as client,
    ):
        results: list[tuple[str, Outcome]] = []

        async def call_on() -> None:
            while not killed.done() or len(results) < 400:
                call_id = new_call_id()
                results.append((call_id, await outcome(client.unary(ECHO, metadata=named(call_id)))))

        killed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(call_on())
            await asyncio.sleep(0.3)
            await other.signal(signal.SIGKILL)
            await asyncio.sleep(0.3)
            killed.set_result(None)
        failed = [(call_id, result) for call_id, result in results if result.code is not OK]
        # Of what was under way at the one that died, nobody can know whether it was executed: it is not repeated.
        assert len(failed) <= 8
        assert {result.code for _, result in failed} <= {UNAVAILABLE}
        for call_id, result in results:
            executed = backend.calls[call_id].received.count
            assert executed == 1 if result.code is OK else executed <= 1
        assert (await outcome(client.unary(ECHO))).code is OK


async def test_the_daemon_that_has_less_to_do_is_picked() -> None:
    async with Backend() as backend, two_daemons(backend) as (stack, other), Client(stack.address) as client:
        call_ids = [new_call_id() for _ in range(8)]
        held = [spawn(outcome(client.unary(HELD, metadata=named(call_id))), name=call_id) for call_id in call_ids]
        for call_id in call_ids:
            await seen(backend.calls[call_id].started)
        # Half of them are at the daemon that ends now.
        await other.signal(signal.SIGKILL)
        await asyncio.wait(held, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        await stack.logged("proxy", "is down")
        for call_id in call_ids:
            backend.calls[call_id].gate.set()
        results = [await call for call in held]
        assert [result.code for result in results].count(OK) == 4
        assert [result.code for result in results].count(UNAVAILABLE) == 4


@pytest.mark.parametrize("transport", ["quic", "tcp"])
async def test_a_daemon_that_is_stopped_passes_its_new_calls_to_the_other(transport: str) -> None:
    async with (
        Backend() as backend,
        two_daemons(backend, transport) as (stack, other),
        Client(stack.address) as client,
    ):
        results: list[Outcome] = []
        stopped = asyncio.Event()

        async def call_on() -> None:
            while not stopped.is_set():
                results.append(await outcome(client.unary(ECHO)))

        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(call_on())
            await asyncio.sleep(0.3)
            assert await other.signal(signal.SIGTERM) == 0
            await asyncio.sleep(0.3)
            stopped.set()
        assert {(result.code, result.details) for result in results} == {(OK, "")}
