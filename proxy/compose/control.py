"""A proxy or a daemon behind the control service's port."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Protocol

from proxy.compose.listening import cannot_listen
from proxy.config import Address, Config, ControlTlsSettings, DaemonSettings, ProxySettings
from proxy.control.server import ControlServer, ControlServerSettings
from proxy.control.service import Controlled, ControlService
from proxy.errors import CallError, Code, HeadwayError
from proxy.pb.headway.v1 import control_pb2 as pb
from proxy.quic.client import QuicTunnel
from proxy.quic.limits import PathStatistics, ServedTunnel
from proxy.tunnel.tunnel import Tunnel, TunnelState

logger = logging.getLogger(__name__)

VERSION = metadata.version("headway")

RETIRED = "takes no new calls: its address has gone from DNS"

_STATES = {
    TunnelState.CONNECTING: pb.TunnelState.CONNECTING,
    TunnelState.READY: pb.TunnelState.READY,
    TunnelState.LOST: pb.TunnelState.LOST,
}


class Running(Protocol):
    """What is asked of a `Proxy` and of a `Daemon`."""

    @property
    def address(self) -> str:
        """Where it serves."""

    @property
    def calls(self) -> int:
        """Taken and not finished."""

    @property
    def draining(self) -> bool:
        """Whether new calls are refused."""

    @property
    def scheduler(self) -> str:
        """The discipline in use."""

    def use_scheduler(self, name: str) -> None:
        """Send by another discipline. Raises ValueError that lists the known ones."""

    def begin_drain(self) -> None:
        """Refuse new calls from now on. A second time changes nothing."""


class RunningProxy(Running, Protocol):
    """What is asked of a `Proxy`."""

    @property
    def tunnels(self) -> Sequence[Tunnel]:
        """One for each daemon that is known now."""

    @property
    def retired(self) -> Sequence[Tunnel]:
        """Those of the tunnels that take no new calls."""

    @property
    def unresolved(self) -> Mapping[str, str]:
        """The DNS names that have brought no tunnel, and why."""


class RunningDaemon(Running, Protocol):
    """What is asked of a `Daemon`."""

    @property
    def tunnels(self) -> Sequence[ServedTunnel]:
        """Those over QUIC."""

    def policies(self) -> dict[str, str]:
        """The policy of each route."""

    def use_policy(self, route: str, policy: str) -> None:
        """Choose by another policy. Raises ValueError that lists what is known."""


class ControlledProxy:
    """A proxy as its operator sees it."""

    def __init__(self, proxy: RunningProxy, settings: ProxySettings) -> None:
        self._proxy = proxy
        self._settings = settings

    def status(self) -> pb.Status:
        """See the port."""
        proxy, settings = self._proxy, self._settings
        over_quic = settings.transport == "quic"
        return pb.Status(
            role="proxy",
            version=VERSION,
            listen=proxy.address,
            draining=proxy.draining,
            calls=proxy.calls,
            sending=pb.Sending(
                direction="uplink",
                scheduler=proxy.scheduler if over_quic else "",
                congestion_control=settings.congestion_control if over_quic else "",
                transport=settings.transport,
            ),
            tunnels=[
                *(_tunnel(tunnel, retired=tunnel in proxy.retired) for tunnel in proxy.tunnels),
                *(
                    pb.TunnelStatus(peer=name, state=pb.TunnelState.CONNECTING, reason=reason)
                    for name, reason in proxy.unresolved.items()
                ),
            ],
        )

    @property
    def scheduler(self) -> str:
        """See the port."""
        if self._settings.transport != "quic":
            raise CallError(
                Code.FAILED_PRECONDITION, f"transport {self._settings.transport}: that tunnel has no stream scheduler"
            )
        return self._proxy.scheduler

    def use_scheduler(self, name: str) -> None:
        """See the port."""
        self._proxy.use_scheduler(name)

    def policies(self) -> dict[str, str]:
        """See the port."""
        raise CallError(Code.FAILED_PRECONDITION, "this is a proxy; policies belong to the daemon's routes")

    def use_policy(self, route: str, policy: str) -> None:
        """See the port."""
        self.policies()

    def drain(self) -> None:
        """See the port."""
        self._proxy.begin_drain()


class ControlledDaemon:
    """A daemon as its operator sees it."""

    def __init__(self, daemon: RunningDaemon, settings: DaemonSettings) -> None:
        self._daemon = daemon
        self._settings = settings

    def status(self) -> pb.Status:
        """See the port."""
        daemon = self._daemon
        return pb.Status(
            role="daemon",
            version=VERSION,
            listen=daemon.address,
            draining=daemon.draining,
            calls=daemon.calls,
            sending=pb.Sending(
                direction="downlink",
                scheduler=daemon.scheduler,
                congestion_control=self._settings.congestion_control,
                transport="quic",
            ),
            tunnels=[
                pb.TunnelStatus(
                    peer=tunnel.peer, state=pb.TunnelState.READY, calls=tunnel.calls, path=_path(tunnel.path)
                )
                for tunnel in daemon.tunnels
            ],
            routes=[pb.RouteStatus(route=route, policy=policy) for route, policy in sorted(daemon.policies().items())],
        )

    @property
    def scheduler(self) -> str:
        """See the port."""
        return self._daemon.scheduler

    def use_scheduler(self, name: str) -> None:
        """See the port."""
        self._daemon.use_scheduler(name)

    def policies(self) -> dict[str, str]:
        """See the port."""
        return self._daemon.policies()

    def use_policy(self, route: str, policy: str) -> None:
        """See the port."""
        self._daemon.use_policy(route, policy)

    def drain(self) -> None:
        """See the port."""
        self._daemon.begin_drain()


class ControlPort:
    """Where a process is controlled, if the configuration says so: `start`, then `stop`."""

    def __init__(
        self, controlled: Controlled, config: Config, key: str, listen: Address | None, tls: ControlTlsSettings | None
    ) -> None:
        self._controlled = controlled
        self._config = config
        self._key = key
        self._listen = listen
        self._tls = tls
        self._server: ControlServer | None = None

    def __repr__(self) -> str:
        return f"<ControlPort {self.address or 'off'}>"

    @property
    def address(self) -> str:
        """`host:port`, once started; empty for nowhere."""
        if self._listen is None or self._server is None:
            return ""
        return str(Address(self._listen.host, self._server.port))

    async def start(self) -> None:
        """Listen. Raises `ConfigError` if the port is taken."""
        if self._listen is None:
            return
        server = ControlServer(
            ControlServerSettings(str(self._listen), self._tls), service=ControlService(self._controlled)
        )
        try:
            await server.start()
        except HeadwayError as error:
            raise cannot_listen(self._config, self._key, self._listen, "TCP", error) from None
        self._server = server
        logger.info("Control service at %s", self.address)

    async def stop(self) -> None:
        """Stop listening; watchers see their streams end."""
        if self._server is not None:
            await self._server.stop()


def control_of_proxy(proxy: RunningProxy, config: Config) -> ControlPort:
    """The control port of a proxy."""
    settings = config.require_proxy()
    return ControlPort(
        ControlledProxy(proxy, settings), config, "proxy.control_listen", settings.control_listen, settings.control_tls
    )


def control_of_daemon(daemon: RunningDaemon, config: Config) -> ControlPort:
    """The control port of a daemon."""
    settings = config.require_daemon()
    controlled = ControlledDaemon(daemon, settings)
    return ControlPort(controlled, config, "daemon.control_listen", settings.control_listen, settings.control_tls)


def _tunnel(tunnel: Tunnel, *, retired: bool) -> pb.TunnelStatus:
    ready = tunnel.state is TunnelState.READY
    status = pb.TunnelStatus(
        peer=tunnel.name,
        state=_STATES[tunnel.state],
        reason=RETIRED if retired else "" if ready else tunnel.reason,
        calls=tunnel.calls,
    )
    if ready:
        load = tunnel.load
        status.load.CopyFrom(pb.ReportedLoad(calls=load.calls, draining=load.draining, serving=load.serving))
        if isinstance(tunnel, QuicTunnel) and (path := tunnel.path_statistics()) is not None:
            status.path.CopyFrom(_path(path))
    return status


def _path(path: PathStatistics) -> pb.PathStatus:
    """Nothing is infinite in a status: what there is no sample of yet is absent, or 0."""
    status = pb.PathStatus(
        rtt_s=path.rtt_s,
        min_rtt_s=path.min_rtt_s if math.isfinite(path.min_rtt_s) else 0.0,
        congestion_window_bytes=path.congestion_window_bytes,
        bytes_in_flight=path.bytes_in_flight,
        datagram_bytes=path.datagram_bytes,
    )
    if math.isfinite(path.delivery_rate_bytes_s):
        status.delivery_rate_bytes_s = path.delivery_rate_bytes_s
    return status
