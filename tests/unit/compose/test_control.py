"""A proxy and a daemon behind the control service's port, with parts that the test moves."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from proxy.clock import MonotonicClock
from proxy.compose.control import ControlledDaemon, ControlledProxy, ControlPort, control_of_proxy
from proxy.compose.tunnels import open_tunnel
from proxy.config import Address, Config, load_config
from proxy.control.client import ControlClient
from proxy.control.service import Controlled
from proxy.daemon.dispatch import Dispatcher
from proxy.daemon.routes import BackendSettings, CandidateSettings, DispatchSettings, RouteSettings
from proxy.errors import CallError, Code, ConfigError
from proxy.pb.headway.v1 import control_pb2 as pb
from proxy.quic.limits import PathStatistics, ServedTunnel
from proxy.quic.statistics import ConnectionStatistics
from proxy.telemetry.call_metrics import CallMetrics
from proxy.telemetry.route_metrics import RouteMetrics
from proxy.testing.calls import MemoryCarrier, failing
from proxy.testing.clock import ManualClock
from proxy.testing.ports import free_port
from proxy.tunnel.exchange import CallHead, CallStatus, OutgoingCall
from proxy.tunnel.tunnel import DaemonLoad, Tunnel, TunnelState

CLOCK = ManualClock(now=100.0)


class StubTunnel:
    def __init__(self, name: str, state: TunnelState, *, calls: int = 0) -> None:
        self.name = name
        self.state = state
        self.calls = calls
        self.silent = False
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
    serving = True
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

    def __init__(self, *tunnels: ServedTunnel, sending: Sequence[ConnectionStatistics] = ()) -> None:
        self.tunnels = tunnels
        self.sending = sending
        candidates = (CandidateSettings("a", "large", 0.7), CandidateSettings("b", "small", 0.4))
        self.dispatcher = Dispatcher(
            DispatchSettings(
                (BackendSettings("a", "a:1"), BackendSettings("b", "b:1")),
                "a",
                "127.0.0.1:1",
                routes=(RouteSettings("b", "round_robin", candidates), RouteSettings("a", "static:large", candidates)),
            ),
            {name: MemoryCarrier(failing(Code.UNAVAILABLE)) for name in ("a", "b")},
            clock=CLOCK,
        )

    def policies(self) -> dict[str, str]:
        return self.dispatcher.policies()

    def use_policy(self, route: str, policy: str) -> None:
        self.dispatcher.use_policy(route, policy)


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


def controlled_proxy(
    proxy: StubProxy, config: Config | None = None, calls: CallMetrics | None = None
) -> ControlledProxy:
    config = config or proxy_config()
    calls = calls or CallMetrics(config.traffic.classes)
    classes = config.traffic.classes
    return ControlledProxy(proxy, config.require_proxy(), calls=calls, classes=classes, clock=CLOCK)


def controlled_daemon(daemon: StubDaemon) -> ControlledDaemon:
    return ControlledDaemon(daemon, daemon_config().require_daemon(), requests=RouteMetrics(), clock=CLOCK)


def port_of(config: Config) -> ControlPort:
    return control_of_proxy(StubProxy(), config, calls=CallMetrics(), clock=CLOCK)


def test_status_of_a_proxy() -> None:
    proxy = StubProxy(StubTunnel("a:1", TunnelState.READY, calls=2), StubTunnel("b:1", TunnelState.LOST))
    status = controlled_proxy(proxy).status()
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
    status = controlled_proxy(StubProxy(retired=(leaving,), unresolved=unresolved)).status()
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
    status = controlled_daemon(daemon).status()
    assert (status.role, status.listen, status.sending.direction) == ("daemon", "127.0.0.1:4433", "downlink")
    first, second = status.tunnels
    assert (first.peer, first.state, first.calls) == ("10.0.0.2:5", pb.TunnelState.READY, 2)
    assert (first.path.rtt_s, second.path.rtt_s) == (0.02, 0.0)
    assert [(route.route, route.policy) for route in status.routes] == [("a", "static:large"), ("b", "round_robin")]
    assert [triton.name for triton in status.tritons] == ["a", "b"]
    assert (status.serving, status.clock_s) == (True, 100.0)
    assert not status.sending.HasField("queue")


def test_a_proxy_tells_of_its_clients_calls() -> None:
    config = proxy_config()
    calls = CallMetrics(config.traffic.classes, default_class="standard")
    proxy = StubProxy()
    proxy.serving = False
    calls.ended(CallHead("/a/b", accepted_at=99.0), CallStatus(Code.OK), at=99.5)
    status = controlled_proxy(proxy, config, calls).status()
    assert (status.serving, status.HasField("serving"), status.clock_s) == (False, True, 100.0)
    assert [(one.name, one.on_time) for one in status.classes] == [("realtime", 0), ("standard", 1), ("bulk", 0)]


def test_what_waits_on_all_of_a_daemon_s_tunnels() -> None:
    path = PathStatistics(0.02, 0.01, 20_000, 1_000, 1452, 1e6)
    waiting = ConnectionStatistics(5, 2, 1000, "adaptive", {"mode": "pruning"}, path)
    daemon = StubDaemon(ServedTunnel("10.0.0.2:5", 2, path), sending=[waiting])
    assert controlled_daemon(daemon).status().sending.queue == pb.QueueStatus(
        streams=5, streams_ready=2, pending_bytes=1000, modes=["pruning"]
    )


def test_what_is_asked_reaches_the_process() -> None:
    proxy, daemon = StubProxy(), StubDaemon()
    daemon_s = controlled_daemon(daemon)
    controlled: tuple[Controlled, ...] = (controlled_proxy(proxy), daemon_s)
    for one in controlled:
        assert one.scheduler == "edf"
        one.use_scheduler("rr")
        one.drain()
        assert (one.scheduler, one.status().draining) == ("rr", True)
    daemon_s.use_policy("b", "static:small")
    assert daemon_s.policies() == {"a": "static:large", "b": "static:small"}


def test_over_tcp_there_is_no_scheduler() -> None:
    controlled = controlled_proxy(StubProxy(), proxy_config(transport="tcp"))
    with pytest.raises(CallError) as error:
        _ = controlled.scheduler
    assert (error.value.code, error.value.message) == (
        Code.FAILED_PRECONDITION,
        "transport tcp: that tunnel has no stream scheduler",
    )
    assert controlled.status().sending == pb.Sending(direction="uplink", transport="tcp")


def test_a_proxy_has_no_policies() -> None:
    controlled = controlled_proxy(StubProxy())
    with pytest.raises(CallError, match="FAILED_PRECONDITION: this is a proxy") as error:
        controlled.use_policy("llm", "round_robin")
    assert error.value.code == Code.FAILED_PRECONDITION


async def test_a_tunnel_that_has_no_connection_has_no_path() -> None:
    address = Address("127.0.0.1", free_port())
    config = proxy_config(daemons=str(address))
    tunnel = open_tunnel(address, config.require_proxy(), token=bytes, clock=MonotonicClock())
    try:
        async with asyncio.timeout(10):
            await tunnel.wait_settled()
        whole = controlled_proxy(StubProxy(tunnel), config).status()
        [status] = whole.tunnels
        assert status.state == pb.TunnelState.LOST
        assert "Connection refused" in status.reason
        assert not status.HasField("path")
        assert not whole.sending.HasField("queue")
    finally:
        await tunnel.close()


async def test_without_control_listen_nobody_listens() -> None:
    control = port_of(proxy_config())
    await control.start()
    assert (control.address, repr(control)) == ("", "<ControlPort off>")
    await control.stop()


async def test_the_port_is_the_configuration_s(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    caplog.set_level("INFO")
    control = port_of(proxy_config(control_listen="127.0.0.1:0"))
    await control.start()
    try:
        # grpc writes to the log as well, of connections of earlier tests.
        own = [record.getMessage() for record in caplog.records if record.name.startswith("proxy")]
        assert own == [f"Control service at {control.address}"]
        async with ControlClient(control.address) as client:
            assert (await client.status()).role == "proxy"
        taken = port_of(proxy_config(control_listen=control.address))
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
