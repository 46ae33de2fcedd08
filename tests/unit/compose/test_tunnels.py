from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from proxy.clock import MonotonicClock
from proxy.compose.tunnels import DaemonTunnels, open_tunnel
from proxy.config import Address, load_config
from proxy.quic.client import QuicTunnel
from proxy.tcp.client import TcpTunnel
from proxy.testing.memory_resolver import MemoryResolver
from proxy.testing.ports import free_port


@pytest.mark.parametrize(("transport", "kind"), [("quic", QuicTunnel), ("tcp", TcpTunnel)])
async def test_the_transport_is_the_configuration_s(transport: str, kind: type) -> None:
    address = Address("127.0.0.1", free_port())
    variables = {"HEADWAY_PROXY__DAEMONS": str(address), "HEADWAY_PROXY__TRANSPORT": transport}
    settings = load_config(None, roles=["proxy"], environment=variables).require_proxy()
    tunnel = open_tunnel(address, settings, token=bytes, clock=MonotonicClock())
    try:
        assert type(tunnel) is kind
        assert tunnel.name == str(address)
    finally:
        await tunnel.close()


class TestDaemonTunnels:
    @pytest.fixture
    async def tunnels(self) -> AsyncIterator[DaemonTunnels]:
        """To one daemon by its address, and to those of two names, of which one is not known."""
        daemons = f"127.0.0.1:{free_port()}, dns:///pods.test:1, dns:///nobody.test:1"
        settings = load_config(None, roles=["proxy"], environment={"HEADWAY_PROXY__DAEMONS": daemons}).require_proxy()
        tunnels = DaemonTunnels(
            settings,
            token=bytes,
            clock=MonotonicClock(),
            scheduler="edf",
            classes={},
            resolver=MemoryResolver({"pods.test": ["127.0.0.2", "::1"]}),
        )
        await asyncio.gather(*(source.wait_settled() for source in tunnels.pool.sources))
        yield tunnels
        await tunnels.close()

    async def test_addresses_first_then_what_the_names_have(self, tunnels: DaemonTunnels) -> None:
        assert [tunnel.name for tunnel in tunnels.all[1:]] == ["127.0.0.2:1", "[::1]:1"]
        assert tunnels.unresolved == {
            "dns:///nobody.test:1": "dns:///nobody.test:1 can't be resolved: Name or service not known"
        }

    async def test_those_that_are_retired_come_last(self, tunnels: DaemonTunnels) -> None:
        first = tunnels.all[0]
        tunnels.pool.retire(first)
        assert tunnels.all[-1] is first
        assert len(tunnels.all) == 3

    async def test_the_scheduler_of_all_and_of_those_to_come(self, tunnels: DaemonTunnels) -> None:
        tunnels.use_scheduler("rr")
        assert tunnels.scheduler == "rr"
        with pytest.raises(ValueError, match="none"):
            tunnels.use_scheduler("none")
        assert tunnels.scheduler == "rr"
