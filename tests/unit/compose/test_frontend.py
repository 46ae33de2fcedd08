import asyncio
import socket
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from proxy.compose.frontend import Proxy
from proxy.config import load_config
from proxy.errors import ConfigError
from proxy.quic.client import QuicTunnel
from proxy.tcp.client import TcpTunnel
from proxy.testing.memory_resolver import MemoryResolver
from proxy.testing.ports import free_port
from proxy.tunnel.tunnel import TunnelState


def environment(tmp_path: Path, **settings: str) -> dict[str, str]:
    return {
        "HEADWAY_PROXY__DAEMONS": f"127.0.0.1:{free_port()},127.0.0.1:{free_port()}",
        "HEADWAY_PROXY__LISTEN": "127.0.0.1:0",
        "HEADWAY_TELEMETRY__TRACES_FILE": str(tmp_path / "traces.jsonl"),
        **settings,
    }


@pytest.mark.parametrize(("transport", "kind"), [("quic", QuicTunnel), ("tcp", TcpTunnel)])
async def test_a_tunnel_for_each_daemon(tmp_path: Path, transport: str, kind: type) -> None:
    variables = environment(tmp_path, HEADWAY_PROXY__TRANSPORT=transport)
    config = load_config(None, roles=["proxy"], environment=variables)
    proxy = Proxy(config)
    try:
        assert [type(tunnel) for tunnel in proxy.tunnels] == [kind, kind]
        names = [tunnel.name for tunnel in proxy.tunnels]
        assert names == variables["HEADWAY_PROXY__DAEMONS"].split(",")
        await proxy.start()
        assert proxy.address == f"127.0.0.1:{proxy.server.port}"
        async with asyncio.timeout(10):
            await asyncio.gather(*(tunnel.wait_settled() for tunnel in proxy.tunnels))
        assert [tunnel.state for tunnel in proxy.tunnels] == [TunnelState.LOST, TunnelState.LOST]
        assert proxy.scheduler == "edf"
        proxy.use_scheduler("rr")
        assert proxy.scheduler == "rr"
        assert (proxy.calls, proxy.draining) == (0, False)
        assert await proxy.drain()
        assert proxy.draining
    finally:
        await proxy.close()


async def test_the_tunnels_of_a_name_and_of_none(tmp_path: Path) -> None:
    daemons = "dns:///pods.test:1,dns:///nobody.test:1"
    variables = environment(tmp_path, HEADWAY_PROXY__DAEMONS=daemons)
    config = load_config(None, roles=["proxy"], environment=variables)
    proxy = Proxy(config, resolver=MemoryResolver({"pods.test": ["127.0.0.2"]}))
    try:
        await proxy.start()
        async with asyncio.timeout(10):
            while not proxy.tunnels:  # noqa: ASYNC110 -- what is waited for has no event
                await asyncio.sleep(0)
        assert [tunnel.name for tunnel in proxy.tunnels] == ["127.0.0.2:1"]
        assert (list(proxy.unresolved), proxy.retired, proxy.serving) == (["dns:///nobody.test:1"], (), False)
    finally:
        await proxy.close()


async def test_health_of_its_own(tmp_path: Path) -> None:
    variables = environment(tmp_path, HEADWAY_PROXY__HEALTH="127.0.0.1:0")
    proxy = Proxy(load_config(None, roles=["proxy"], environment=variables))
    try:
        await proxy.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{proxy.health.port}") as channel:
            check: Any = health_pb2_grpc.HealthStub(channel).Check
            answer = await check(health_pb2.HealthCheckRequest(), timeout=5)
            assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
    finally:
        await proxy.close()


async def test_a_health_port_that_is_taken_is_named_with_its_key(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        variables = environment(tmp_path, HEADWAY_PROXY__HEALTH=address)
        proxy = Proxy(load_config(None, roles=["proxy"], environment=variables))
        try:
            with pytest.raises(ConfigError) as error:
                await proxy.start()
        finally:
            await proxy.close()
    assert error.value.problems == [
        f"HEADWAY_PROXY__HEALTH: proxy.health: can't listen on {address} (TCP): Address already in use"
    ]


async def test_a_port_that_is_taken_is_named_with_its_key(tmp_path: Path) -> None:
    first = Proxy(load_config(None, roles=["proxy"], environment=environment(tmp_path)))
    await first.start()
    variables = environment(tmp_path, HEADWAY_PROXY__LISTEN=first.address)
    second = Proxy(load_config(None, roles=["proxy"], environment=variables))
    try:
        with pytest.raises(ConfigError) as error:
            await second.start()
        [problem] = error.value.problems
        assert problem == (
            f"HEADWAY_PROXY__LISTEN: proxy.listen: can't listen on {first.address} (TCP): Address already in use"
        )
    finally:
        await second.close()
        await first.close()
