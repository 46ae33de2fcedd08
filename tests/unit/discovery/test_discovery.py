"""A pool that follows a name in memory, in virtual time. What the name's changes ask for: `test_members`."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from typing import cast

import pytest

from proxy.config import Address, DnsName
from proxy.discovery.discovery import Discovery
from proxy.pool import DaemonPool
from proxy.testing.calls import MemoryCarrier, answering, exchange, hanging
from proxy.testing.memory_resolver import MemoryResolver
from proxy.testing.virtual_loop import VirtualTimeLoop
from proxy.tunnel.exchange import CallHead, OutgoingCall
from proxy.tunnel.tunnel import DaemonLoad, TunnelState

NAME = DnsName("daemons.test", 4433)
HEAD = CallHead("/pkg.Service/Method")
READY, LOST = TunnelState.READY, TunnelState.LOST


class StubTunnel:
    """A tunnel that is up at once."""

    def __init__(self, address: Address) -> None:
        self.name = str(address)
        self.state = READY
        self.load = DaemonLoad()
        self.calls = 0
        self.silent = False
        self.closed = False
        self.carrier = MemoryCarrier(answering(b"fine"))

    @property
    def reason(self) -> str:
        return f"daemon {self.name} is unreachable: no answer"

    async def wait_settled(self) -> None:
        return

    def open(self, head: CallHead) -> OutgoingCall:
        return self.carrier.open(head)

    def use_scheduler(self, name: str) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        self.closed = True


class Followed:
    """A discovery with its pool and all tunnels that it ever opened."""

    def __init__(self, *hosts: str, interval_s: float = 10.0) -> None:
        self.resolver = MemoryResolver({NAME.host: hosts})
        self.pool = DaemonPool()
        self.opened: dict[str, StubTunnel] = {}
        self.unreadable = ""
        self.discovery = Discovery(
            NAME,
            pool=self.pool,
            open_tunnel=self._open,
            resolver=self.resolver,
            interval_s=interval_s,
            clock=cast("VirtualTimeLoop", asyncio.get_running_loop()).clock,
            rng=random.Random(1),
        )

    def name(self, *hosts: str) -> None:
        self.resolver.names[NAME.host] = list(hosts)

    @property
    def takes_calls(self) -> list[str]:
        return [tunnel.name.partition(":")[0] for tunnel in self.pool.tunnels]

    @property
    def retired(self) -> list[str]:
        return [tunnel.name.partition(":")[0] for tunnel in self.pool.retired]

    @property
    def closed(self) -> list[str]:
        return [host for host, tunnel in self.opened.items() if tunnel.closed]

    def _open(self, address: Address) -> StubTunnel:
        if self.unreadable:
            raise FileNotFoundError(self.unreadable)
        tunnel = self.opened[address.host] = StubTunnel(address)
        return tunnel


@pytest.fixture
async def followed() -> AsyncIterator[Followed]:
    """Two daemons, found."""
    followed = Followed("10.0.0.1", "10.0.0.2")
    await followed.discovery.wait_settled()
    assert followed.takes_calls == ["10.0.0.1", "10.0.0.2"]
    yield followed
    await followed.discovery.close()


async def test_one_joins_within_an_interval(followed: Followed) -> None:
    followed.name("10.0.0.1", "10.0.0.2", "fd00::3")
    await asyncio.sleep(12.5)
    assert [tunnel.name for tunnel in followed.pool.tunnels] == ["10.0.0.1:4433", "10.0.0.2:4433", "[fd00::3]:4433"]
    assert followed.resolver.asked == 2


async def test_one_leaves_and_its_tunnel_is_closed_when_its_calls_have_ended(followed: Followed) -> None:
    for tunnel in followed.opened.values():
        tunnel.carrier = MemoryCarrier(hanging())
    calls = [followed.pool.open(HEAD) for _ in range(2)]
    followed.name("10.0.0.2")
    await asyncio.sleep(12.5)
    assert (followed.takes_calls, followed.retired) == (["10.0.0.2"], ["10.0.0.1"])
    assert followed.closed == []
    for call in calls:
        call.cancel()
    await asyncio.sleep(0.5)
    assert (followed.takes_calls, followed.retired) == (["10.0.0.2"], [])
    assert followed.closed == ["10.0.0.1"]


async def test_one_that_is_named_again_meanwhile_keeps_its_tunnel(followed: Followed) -> None:
    first = followed.opened["10.0.0.1"]
    first.carrier = MemoryCarrier(hanging())
    followed.opened["10.0.0.2"].carrier = MemoryCarrier(hanging())
    calls = [followed.pool.open(HEAD) for _ in range(2)]
    followed.name("10.0.0.2")
    await asyncio.sleep(12.5)
    assert followed.retired == ["10.0.0.1"]
    followed.name("10.0.0.1", "10.0.0.2")
    await asyncio.sleep(12.5)
    assert (sorted(followed.takes_calls), followed.retired) == (["10.0.0.1", "10.0.0.2"], [])
    assert followed.opened["10.0.0.1"] is first
    assert not first.closed
    for call in calls:
        call.cancel()


async def test_a_lost_daemon_has_the_name_resolved_once_at_once(followed: Followed) -> None:
    await asyncio.sleep(3)
    assert followed.resolver.asked == 1
    followed.name("10.0.0.2", "10.0.0.3")
    followed.opened["10.0.0.1"].state = LOST
    await asyncio.sleep(0.5)
    assert followed.resolver.asked == 2
    assert followed.takes_calls == ["10.0.0.2", "10.0.0.3"]
    await asyncio.sleep(0.5)
    assert followed.opened["10.0.0.1"].closed


async def test_one_that_is_lost_and_stays_named_is_asked_about_no_more_than_others(followed: Followed) -> None:
    followed.opened["10.0.0.1"].state = LOST
    await asyncio.sleep(7)
    assert followed.resolver.asked == 2
    assert followed.takes_calls == ["10.0.0.1", "10.0.0.2"]
    followed.opened["10.0.0.1"].state = READY
    await asyncio.sleep(0.5)
    followed.opened["10.0.0.1"].state = LOST
    await asyncio.sleep(0.5)
    assert followed.resolver.asked == 3


async def test_while_no_daemon_can_be_reached_the_name_is_resolved_every_second(followed: Followed) -> None:
    for tunnel in followed.opened.values():
        tunnel.state = LOST
    await asyncio.sleep(10)
    assert 8 <= followed.resolver.asked <= 12


async def test_what_cannot_be_resolved_changes_nothing_and_is_told_once(
    followed: Followed, caplog: pytest.LogCaptureFixture
) -> None:
    followed.name()
    with caplog.at_level(logging.WARNING):
        await asyncio.sleep(50)
        assert followed.resolver.asked > 4
        assert followed.takes_calls == ["10.0.0.1", "10.0.0.2"]
        assert followed.discovery.reason == ""
        assert repr(followed.discovery).endswith("failing: Name or service not known>")
        followed.name("10.0.0.1", "10.0.0.2")
        await asyncio.sleep(30)
    assert caplog.messages == [
        "dns:///daemons.test:4433 can't be resolved: Name or service not known; the 2 known addresses stay",
        "dns:///daemons.test:4433 is resolved again",
    ]


async def test_a_file_that_cannot_be_read_costs_one_attempt(
    followed: Followed, caplog: pytest.LogCaptureFixture
) -> None:
    followed.unreadable = "ca.pem is gone"
    followed.name("10.0.0.1", "10.0.0.2", "10.0.0.3")
    with caplog.at_level(logging.WARNING):
        await asyncio.sleep(12.5)
    assert caplog.messages == ["dns:///daemons.test:4433: no tunnel to 10.0.0.3:4433: ca.pem is gone"]
    assert followed.takes_calls == ["10.0.0.1", "10.0.0.2"]
    followed.unreadable = ""
    await asyncio.sleep(12.5)
    assert followed.takes_calls == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]


async def test_a_question_that_hangs_is_not_asked_again_and_stops_nothing_else(followed: Followed) -> None:
    followed.name("10.0.0.2")
    for tunnel in followed.opened.values():
        tunnel.carrier = MemoryCarrier(hanging())
    calls = [followed.pool.open(HEAD) for _ in range(2)]
    await asyncio.sleep(12.5)
    followed.resolver.answering.clear()
    await asyncio.sleep(60)
    assert followed.resolver.asked == 3
    for call in calls:
        call.cancel()
    await asyncio.sleep(0.5)
    assert followed.opened["10.0.0.1"].closed


async def test_a_call_waits_for_the_first_answer() -> None:
    followed = Followed("10.0.0.1")
    followed.resolver.answering.clear()
    assert followed.discovery.reason == "dns:///daemons.test:4433 is not resolved yet"
    async with asyncio.TaskGroup() as group:
        answer = group.create_task(exchange(followed.pool, HEAD, b"request"))
        await asyncio.sleep(0.5)
        assert not answer.done()
        followed.resolver.answering.set()
    assert answer.result().messages == (b"fine",)
    await followed.discovery.close()


async def test_a_call_fails_with_the_reason_when_there_is_no_answer() -> None:
    followed = Followed()
    answer = await exchange(followed.pool, HEAD, b"request")
    assert answer.status.message == "dns:///daemons.test:4433 can't be resolved: Name or service not known"
    followed.name("10.0.0.1")
    await asyncio.sleep(1.5)
    assert (await exchange(followed.pool, HEAD, b"request")).messages == (b"fine",)
    await followed.discovery.close()


async def test_closing_closes_all_tunnels_and_ends_the_asking(followed: Followed) -> None:
    followed.resolver.answering.clear()
    await asyncio.sleep(12.5)
    await followed.discovery.close()
    assert all(tunnel.closed for tunnel in followed.opened.values())
    assert (followed.pool.tunnels, followed.pool.retired) == ((), ())
    asked = followed.resolver.asked
    await asyncio.sleep(60)
    assert followed.resolver.asked == asked
