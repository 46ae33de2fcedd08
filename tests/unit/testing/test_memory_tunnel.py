from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path

import pytest

from policies.traffic import TrafficClass
from proxy.commands.certs import make_certs
from proxy.errors import Code
from proxy.testing.calls import answering, exchange
from proxy.testing.memory_link import LinkSettings
from proxy.testing.memory_tunnel import ADDRESS, MemoryTunnel
from proxy.testing.virtual_loop import VirtualTimeLoop
from proxy.tunnel.exchange import CallHead, IncomingCall
from proxy.tunnel.tunnel import DaemonLoad, TunnelState

HEAD = CallHead("/pkg.Service/Method")


@pytest.fixture(scope="session")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("certs")
    make_certs(directory, now=datetime.now(UTC))
    return directory


def run(main: Callable[[], Coroutine[None, None, None]]) -> None:
    loop = VirtualTimeLoop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


def test_a_call_takes_the_links_time(certs: Path) -> None:
    async def main() -> None:
        link = LinkSettings(delay_s=0.05)
        async with MemoryTunnel(certs, handler=answering(b"hello"), uplink=link, downlink=link) as tunnel:
            connected_at = tunnel.network.client_clock.now()
            assert (await exchange(tunnel.proxy, HEAD, b"request")).messages == (b"hello",)
            assert connected_at == pytest.approx(0.1)
            assert tunnel.network.client_clock.now() - connected_at == pytest.approx(0.1)

    run(main)


def test_handler_tokens_and_load_may_change(certs: Path) -> None:
    async def main() -> None:
        async with MemoryTunnel(certs, handler=answering(b"one")) as tunnel:
            tunnel.handler = answering(b"two")
            assert (await exchange(tunnel.proxy, HEAD, b"")).messages == (b"two",)
            tunnel.tokens = (b"another",)
            assert (await exchange(tunnel.proxy, HEAD, b"")).status.code == Code.UNAUTHENTICATED
            tunnel.load = DaemonLoad(calls=5)
            await asyncio.sleep(2)
            assert tunnel.proxy.load.calls == 5

    run(main)


def test_the_daemon_can_be_killed_and_started_again(certs: Path) -> None:
    async def main() -> None:
        async with MemoryTunnel(certs, handler=answering(b"one")) as tunnel:
            await asyncio.sleep(1)
            states = []
            for change in (tunnel.kill_daemon, tunnel.start_daemon):
                change()
                await asyncio.sleep(2)
                states.append(tunnel.proxy.state)
            assert states == [TunnelState.LOST, TunnelState.READY]

    run(main)


def test_further_proxies_have_settings_of_their_own(certs: Path) -> None:
    async def main() -> None:
        async with MemoryTunnel(certs, handler=answering(b"one")) as tunnel:
            other = tunnel.connect(token=lambda: b"wrong")
            await other.wait_settled()
            assert (await exchange(other, HEAD, b"")).status.code == Code.UNAUTHENTICATED
            assert (await exchange(tunnel.proxy, HEAD, b"")).status.code == Code.OK
            assert other.name == ADDRESS
            await other.close()

    run(main)


def test_classes_are_the_configurations_or_ones_own(certs: Path) -> None:
    async def main() -> None:
        served: list[str] = []

        async def handler(call: IncomingCall) -> None:
            served.append(call.head.traffic_class)
            await answering()(call)

        for classes in (None, {"only": TrafficClass("only", 1.0)}):
            async with MemoryTunnel(certs, handler=handler, classes=classes) as tunnel:
                await exchange(tunnel.proxy, HEAD, b"")
        assert served == ["standard", "only"]

    run(main)
