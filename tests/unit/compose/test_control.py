"""A proxy and a daemon behind the control service's port, with parts that the test moves."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from pathlib import Path

import pytest

from proxy.clock import MonotonicClock
from proxy.compose.control import ControlledDaemon, ControlledProxy, control_of_proxy
from proxy.compose.tunnels import open_tunnel
from proxy.config import Address, Config, load_config
from proxy.control.client import ControlClient
from proxy.control.service import Controlled
from proxy.errors import CallError, Code, ConfigError
from proxy.pb.headway.v1 import control_pb2 as pb
from proxy.quic.limits import PathStatistics, ServedTunnel
from proxy.testing.ports import free_port
from proxy.tunnel.exchange import CallHead, OutgoingCall
from proxy.tunnel.tunnel import DaemonLoad, Tunnel, TunnelState


class StubTunnel:
    def __init__(self, name: str, state: TunnelState, *, calls: int = 0) -> None:
        self.name = name
        self.state = state
        self.calls = calls
        self.reason = f"daemon {name} is unreachable: no answer"
        self.load = DaemonLoad(7, draining=True, serving=False)

    async def wait_settled(self) -> None:
        raise NotImplementedError

    def open(self, head: CallHead) -> OutgoingCall:
        raise NotImplementedError

    def use_scheduler(self, name: str) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


class StubProcess:
    calls = 2
    draining = False
    scheduler = "edf"

    def use_scheduler(self, name: str) -> None:
        self.scheduler = name

    def begin_drain(self) -> None:
        self.draining = True


class StubProxy(StubProcess):
    address = "127.0.0.1:8001"

    def __init__(
        self, *tunnels: Tunnel, retired: tuple[Tunnel, ...] = (), unresolved: Mapping[str, str] | None = None
    ) -> None:
        self.tunnels = (*tunnels, *retired)
        self.retired = retired
        self.unresolved = unresolved or {}


class StubDaemon(StubProcess):
    address = "127.0.0.1:4433"

    def __init__(self, *tunnels: ServedTunnel) -> None:
        self.tunnels = tunnels
        self.routes = {"b": "round_robin", "a": "static:large"}

    def policies(self) -> dict[str, str]:
        return dict(self.routes)

    def use_policy(self, route: str, policy: str) -> None:
        self.routes[route] = policy


def proxy_config(**settings: str) -> Config:
    variables = {f"HEADWAY_PROXY__{name.upper()}": value for name, value in settings.items()}
    return load_config(None, roles=["proxy"], environment={"HEADWAY_PROXY__DAEMONS": "gpu:1", **variables})


def daemon_config() -> Config:
    variables = {
        "HEADWAY_DAEMON__CERT": "daemon.pem",
        "HEADWAY_DAEMON__KEY": "daemon.key",
        "HEADWAY_DAEMON__TRITONS": "{a: {url: 'localhost:1'}}",
    }
    return load_config(None, roles=["daemon"], environment=variables, check_files=False)


def test_status_of_a_proxy() -> None:
    proxy = StubProxy(StubTunnel("a:1", TunnelState.READY, calls=2), StubTunnel("b:1", TunnelState.LOST))
    status = ControlledProxy(proxy, proxy_config().require_proxy()).status()
    assert (status.role, status.listen, status.calls, status.draining) == ("proxy", "127.0.0.1:8001", 2, False)
    assert status.version[0].isdigit()
    assert status.sending == pb.Sending(direction="uplink", scheduler="edf", congestion_control="bbr", transport="quic")
    assert list(status.tunnels) == [
        pb.TunnelStatus(peer="a:1", state=pb.TunnelState.READY, calls=2, load=pb.ReportedLoad(calls=7, draining=True)),
        pb.TunnelStatus(peer="b:1", state=pb.TunnelState.LOST, reason="daemon b:1 is unreachable: no answer"),
    ]


def test_status_of_a_proxy_whose_daemons_come_from_dns() -> None:
    leaving = StubTunnel("a:1", TunnelState.READY, calls=2)
    unresolved = {"dns:///pods:1": "dns:///pods:1 can't be resolved: no such name"}
    status = ControlledProxy(
        StubProxy(retired=(leaving,), unresolved=unresolved), proxy_config().require_proxy()
    ).status()
    assert list(status.tunnels) == [
        pb.TunnelStatus(
            peer="a:1",
            state=pb.TunnelState.READY,
            reason="takes no new calls: its address has gone from DNS",
            calls=2,
            load=pb.ReportedLoad(calls=7, draining=True),
        ),
        pb.TunnelStatus(
            peer="dns:///pods:1",
            state=pb.TunnelState.CONNECTING,
            reason="dns:///pods:1 can't be resolved: no such name",
        ),
    ]


def test_status_of_a_daemon() -> None:
    known = PathStatistics(0.02, 0.01, 20_000, 1_000, 1452, 1e6)
    fresh = PathStatistics(0.0, math.inf, 12_000, 0, 1280, math.inf)
    daemon = StubDaemon(ServedTunnel("10.0.0.2:5", 2, known), ServedTunnel("10.0.0.3:5", 0, fresh))
    status = ControlledDaemon(daemon, daemon_config().require_daemon()).status()
    assert (status.role, status.listen, status.sending.direction) == ("daemon", "127.0.0.1:4433", "downlink")
    first, second = status.tunnels
    assert (first.peer, first.state, first.calls) == ("10.0.0.2:5", pb.TunnelState.READY, 2)
    assert first.path == pb.PathStatus(
        rtt_s=0.02,
        min_rtt_s=0.01,
        congestion_window_bytes=20_000,
        bytes_in_flight=1_000,
        datagram_bytes=1452,
        delivery_rate_bytes_s=1e6,
    )
    # Nothing is infinite.
    assert second.path == pb.PathStatus(congestion_window_bytes=12_000, datagram_bytes=1280)
    assert [(route.route, route.policy) for route in status.routes] == [("a", "static:large"), ("b", "round_robin")]


def test_what_is_asked_reaches_the_process() -> None:
    proxy, daemon = StubProxy(), StubDaemon()
    daemon_s = ControlledDaemon(daemon, daemon_config().require_daemon())
    controlled: tuple[Controlled, ...] = (ControlledProxy(proxy, proxy_config().require_proxy()), daemon_s)
    for one in controlled:
        assert one.scheduler == "edf"
        one.use_scheduler("rr")
        one.drain()
        assert (one.scheduler, one.status().draining) == ("rr", True)
    daemon_s.use_policy("b", "static:small")
    assert daemon_s.policies() == {"a": "static:large", "b": "static:small"}


def test_over_tcp_there_is_no_scheduler() -> None:
    controlled = ControlledProxy(StubProxy(), proxy_config(transport="tcp").require_proxy())
    with pytest.raises(CallError) as error:
        _ = controlled.scheduler
    assert (error.value.code, error.value.message) == (
        Code.FAILED_PRECONDITION,
        "transport tcp: that tunnel has no stream scheduler",
    )
    assert controlled.status().sending == pb.Sending(direction="uplink", transport="tcp")


def test_a_proxy_has_no_policies() -> None:
    controlled = ControlledProxy(StubProxy(), proxy_config().require_proxy())
    with pytest.raises(CallError, match="FAILED_PRECONDITION: this is a proxy") as error:
        controlled.use_policy("llm", "round_robin")
    assert error.value.code == Code.FAILED_PRECONDITION


async def test_a_tunnel_that_has_no_connection_has_no_path() -> None:
    address = Address("127.0.0.1", free_port())
    settings = proxy_config(daemons=str(address)).require_proxy()
    tunnel = open_tunnel(address, settings, token=bytes, clock=MonotonicClock())
    try:
        async with asyncio.timeout(10):
            await tunnel.wait_settled()
        [status] = ControlledProxy(StubProxy(tunnel), settings).status().tunnels
        assert status.state == pb.TunnelState.LOST
        assert "Connection refused" in status.reason
        assert not status.HasField("path")
    finally:
        await tunnel.close()


async def test_without_control_listen_nobody_listens() -> None:
    control = control_of_proxy(StubProxy(), proxy_config())
    await control.start()
    assert (control.address, repr(control)) == ("", "<ControlPort off>")
    await control.stop()


async def test_the_port_is_the_configuration_s(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    caplog.set_level("INFO")
    control = control_of_proxy(StubProxy(), proxy_config(control_listen="127.0.0.1:0"))
    await control.start()
    try:
        assert caplog.messages == [f"Control service at {control.address}"]
        async with ControlClient(control.address) as client:
            assert (await client.status()).role == "proxy"
        taken = control_of_proxy(StubProxy(), proxy_config(control_listen=control.address))
        with pytest.raises(ConfigError) as error:
            await taken.start()
        assert error.value.problems == [
            (
                "HEADWAY_PROXY__CONTROL_LISTEN: proxy.control_listen: "
                f"can't listen on {control.address} (TCP): Address already in use"
            )
        ]
        await taken.stop()
    finally:
        await control.stop()
