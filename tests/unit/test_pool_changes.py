"""A pool whose daemons come and go."""

from __future__ import annotations

import asyncio

import pytest

from proxy.errors import Code
from proxy.pool import DaemonPool
from proxy.testing.calls import answering, exchange, hanging
from proxy.tunnel.exchange import CallHead, CallStatus, IncomingCall
from proxy.tunnel.tunnel import DaemonLoad, TunnelState
from tests.unit.daemon_tunnels import CONNECTING, LOST, READY, MemoryTunnel, away

HEAD = CallHead("/pkg.Service/Method")


class MemorySource:
    """A `Source` that the test settles."""

    def __init__(self) -> None:
        self.reason = "dns:///gpu:1 is not resolved yet"
        self.known = asyncio.Event()
        self.awaited = asyncio.Event()

    @property
    def settled(self) -> bool:
        return self.known.is_set()

    async def wait_settled(self) -> None:
        self.awaited.set()
        await self.known.wait()


class TestComingAndGoing:
    async def test_one_that_is_added_takes_calls(self) -> None:
        a, b = MemoryTunnel("a", calls=1), MemoryTunnel("b")
        pool = DaemonPool([a])
        pool.add(b)
        assert pool.tunnels == (a, b)
        assert (await exchange(pool, HEAD)).messages == (b"b",)

    async def test_one_that_is_retired_keeps_its_calls_and_gets_no_more(self) -> None:
        go_on = asyncio.Event()

        async def slow(call: IncomingCall) -> None:
            await go_on.wait()
            await answering(b"late")(call)

        a, b = MemoryTunnel("a", slow), MemoryTunnel("b", calls=9)
        pool = DaemonPool([a, b])
        async with asyncio.TaskGroup() as group:
            under_way = group.create_task(exchange(pool, HEAD, b"request"))
            await asyncio.wait_for(a.was_opened.wait(), 1)
            pool.retire(a)
            assert (pool.tunnels, pool.retired, pool.calls(a)) == ((b,), (a,), 1)
            assert (await exchange(pool, HEAD)).messages == (b"b",)
            assert repr(pool) == "<DaemonPool b READY, a retired>"
            go_on.set()
        assert under_way.result().messages == (b"late",)
        assert (pool.calls(a), pool.calls(b)) == (0, 0)
        pool.drop(a)
        assert pool.retired == ()

    async def test_one_that_was_retired_can_be_added_again(self) -> None:
        a = MemoryTunnel("a")
        pool = DaemonPool([a])
        pool.retire(a)
        assert (await exchange(pool, HEAD)).status == CallStatus(Code.UNAVAILABLE, "no daemon is configured")
        pool.add(a)
        assert (pool.tunnels, pool.retired) == ((a,), ())

    async def test_a_call_that_moves_on_counts_where_it_is(self) -> None:
        a, b = MemoryTunnel("a", away()), MemoryTunnel("b", hanging(), calls=1)
        pool = DaemonPool([a, b])
        call = pool.open(HEAD)
        assert (pool.calls(a), pool.calls(b)) == (1, 0)
        async with asyncio.TaskGroup() as group:
            group.create_task(call.receive())
            await asyncio.wait_for(b.was_opened.wait(), 1)
            assert (pool.calls(a), pool.calls(b)) == (0, 1)
            call.cancel()
            call.cancel()
            assert pool.calls(b) == 0

    async def test_a_call_waits_for_what_a_source_brings(self) -> None:
        source, pool = MemorySource(), DaemonPool()
        pool.follow(source)
        assert pool.sources == (source,)
        tunnel = MemoryTunnel("a", state=CONNECTING)
        async with asyncio.TaskGroup() as group:
            answer = group.create_task(exchange(pool, HEAD))
            await asyncio.wait_for(source.awaited.wait(), 1)
            pool.add(tunnel)
            source.known.set()
            await asyncio.wait_for(tunnel.awaited.wait(), 1)
            tunnel.settle(READY)
        assert answer.result().messages == (b"a",)

    async def test_a_source_that_brings_nothing_says_why(self) -> None:
        source, pool = MemorySource(), DaemonPool([MemoryTunnel("a", state=LOST)])
        pool.follow(source)
        source.known.set()
        source.reason = "dns:///gpu:1 can't be resolved: no such name"
        answer = await exchange(pool, HEAD)
        assert answer.status.message == (
            "daemon a is unreachable: no answer; dns:///gpu:1 can't be resolved: no such name"
        )


@pytest.mark.parametrize(
    ("state", "load", "serving"),
    [
        (READY, DaemonLoad(), True),
        (LOST, DaemonLoad(), False),
        (CONNECTING, DaemonLoad(), False),
        (READY, DaemonLoad(draining=True), False),
        (READY, DaemonLoad(serving=False), False),
    ],
)
def test_serving_is_a_daemon_that_takes_calls_and_has_a_backend(
    state: TunnelState, load: DaemonLoad, serving: bool
) -> None:
    useless = MemoryTunnel("b", load=DaemonLoad(serving=False))
    assert DaemonPool([useless, MemoryTunnel("a", state=state, load=load)]).serving is serving
