"""What every process does that is controlled (`proxy.control.service.Controlled`): a real proxy, a real daemon.

Asked as an operator asks, over a socket on loopback, with clients' calls on their way beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest

from policies.scheduling.registry import SCHEDULERS
from proxy.control.client import ControlClient, ControlError
from proxy.tasks import spawn
from proxy.testing.stack import HeadwayStack
from tests.conformance.backend import Backend
from tests.conformance.client import Client, named, new_call_id, outcome
from tests.conformance.journal import seen
from tests.conformance.pb import conformance_pb2 as pb

ROLES = ("proxy", "daemon")
ECHO = pb.CallRequest(payload=b"content", echo=True)
HELD = pb.CallRequest(payload=b"content", echo=True, hold=True)
LISTEN = {"control_listen": "127.0.0.1:0"}
ROUTES = {"llm": {"policy": "round_robin", "candidates": [{"triton": "a", "model": "large", "quality": 0.7}]}}


@asynccontextmanager
async def controlled(
    role: str, transport: str = "quic"
) -> AsyncIterator[tuple[ControlClient, HeadwayStack, Backend, Client]]:
    async with (
        Backend() as backend,
        HeadwayStack(backend.address, transport=transport, proxy=LISTEN, daemon={**LISTEN, "routes": ROUTES}) as stack,
        Client(stack.address) as client,
        ControlClient((stack.proxy if role == "proxy" else stack.daemon).control.address) as control,
    ):
        yield control, stack, backend, client


@pytest.mark.parametrize("role", ROLES)
async def test_a_status_tells_who_it_is_and_how_it_goes(role: str) -> None:
    async with controlled(role) as (control, stack, backend, client):
        call_id = new_call_id()
        held = spawn(outcome(client.unary(HELD, metadata=named(call_id))), name="held")
        await seen(backend.calls[call_id].started)
        status = await control.status()
        backend.calls[call_id].gate.set()
        assert (await held).code is grpc.StatusCode.OK
        assert (status.role, status.draining, status.calls) == (role, False, 1)
        assert status.listen == (stack.proxy.address if role == "proxy" else stack.daemon.address)
        assert (status.sending.direction, status.sending.scheduler, status.sending.transport) == (
            "uplink" if role == "proxy" else "downlink",
            "edf",
            "quic",
        )
        [tunnel] = status.tunnels
        assert tunnel.calls == 1
        assert 0 < tunnel.path.min_rtt_s < 1
        assert tunnel.path.datagram_bytes >= 1200
        assert tunnel.HasField("load") == (role == "proxy")
        assert (tunnel.peer == stack.daemon.address) == (role == "proxy")


@pytest.mark.parametrize("role", ROLES)
async def test_every_known_scheduler_can_be_switched_to(role: str) -> None:
    async with controlled(role) as (control, _, _, client):
        previous = "edf"
        for name in SCHEDULERS:
            answer = await control.set_scheduler(name)
            assert (answer.previous, answer.scheduler) == (previous, name)
            assert (await control.status()).sending.scheduler == name
            assert (await client.unary(ECHO)).payload == b"content"
            previous = name


@pytest.mark.parametrize("role", ROLES)
async def test_an_unknown_scheduler_is_refused_with_the_known_ones(role: str) -> None:
    async with controlled(role) as (control, _, _, client):
        with pytest.raises(ControlError) as error:
            await control.set_scheduler("fastest")
        assert str(error.value).endswith(f"unknown scheduler 'fastest'; known: {', '.join(SCHEDULERS)}")
        assert (await control.status()).sending.scheduler == "edf"
        assert (await client.unary(ECHO)).payload == b"content"


async def test_over_tcp_a_proxy_has_no_scheduler_and_says_so() -> None:
    async with controlled("proxy", "tcp") as (control, _, _, client):
        with pytest.raises(ControlError, match="transport tcp: that tunnel has no stream scheduler"):
            await control.set_scheduler("rr")
        status = await control.status()
        assert (status.sending.transport, status.sending.scheduler) == ("tcp", "")
        assert not status.tunnels[0].HasField("path")
        assert (await client.unary(ECHO)).payload == b"content"


@pytest.mark.parametrize("role", ROLES)
async def test_a_policy_is_switched_where_there_are_routes(role: str) -> None:
    async with controlled(role) as (control, _, _, _):
        if role == "proxy":
            with pytest.raises(ControlError, match="this is a proxy"):
                await control.set_policy("llm", "static:large")
            return
        answer = await control.set_policy("llm", "static:large")
        assert (answer.previous, answer.policy) == ("round_robin", "static:large")
        for route, policy, problem in (
            ("nope", "round_robin", "unknown route 'nope'; known are llm"),
            ("llm", "best", "unknown policy 'best'"),
            ("llm", "static:tiny", "'tiny' is none of the route's candidates"),
        ):
            with pytest.raises(ControlError, match=problem):
                await control.set_policy(route, policy)
        assert [(item.route, item.policy) for item in (await control.status()).routes] == [("llm", "static:large")]


@pytest.mark.parametrize("transport", ["quic", "tcp"])
@pytest.mark.parametrize("role", ROLES)
async def test_a_drain_refuses_new_calls_lets_the_others_finish_and_may_be_asked_twice(
    role: str, transport: str
) -> None:
    async with controlled(role, transport) as (control, stack, backend, client):
        call_id = new_call_id()
        held = spawn(outcome(client.unary(HELD, metadata=named(call_id))), name="held")
        await seen(backend.calls[call_id].started)
        assert [(await control.drain()).calls for _ in range(2)] == [1, 1]
        refused = await outcome(client.unary(ECHO))
        assert refused.code is grpc.StatusCode.UNAVAILABLE
        status = await control.status()
        assert (status.draining, status.calls) == (True, 1)
        backend.calls[call_id].gate.set()
        assert (await held).code is grpc.StatusCode.OK
        assert (await control.status()).calls == 0
        async with asyncio.timeout(5):
            assert await (stack.proxy if role == "proxy" else stack.daemon).drain()


@pytest.mark.parametrize("role", ROLES)
async def test_a_watch_shows_a_switch_and_ends_with_the_process(role: str) -> None:
    async with controlled(role) as (control, stack, _, _):
        watch = control.watch(interval_s=0.1)
        assert (await anext(watch)).sending.scheduler == "edf"
        await control.set_scheduler("rr")
        async with asyncio.timeout(5):
            async for status in watch:
                if status.sending.scheduler == "rr":
                    break
            await (stack.proxy if role == "proxy" else stack.daemon).control.stop()
            with pytest.raises(ControlError):
                _ = [status async for status in watch]
