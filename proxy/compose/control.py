"""A proxy or a daemon behind the control service's port."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Protocol

from policies.traffic import TrafficClass
from proxy.clock import Clock
from proxy.compose.listening import cannot_listen
from proxy.compose.status import (
    class_statuses,
    queue_status,
    route_statuses,
    served_status,
    triton_statuses,
    tunnel_status,
    unresolved_status,
)
from proxy.config import Address, Config, ControlTlsSettings, DaemonSettings, ProxySettings
from proxy.control.server import ControlServer, ControlServerSettings
from proxy.control.service import Controlled, ControlService
from proxy.errors import CallError, Code, HeadwayError
from proxy.pb.headway.v1 import control_pb2 as pb
from proxy.quic.limits import ServedTunnel
from proxy.quic.statistics import ConnectionStatistics
from proxy.telemetry.call_metrics import CallMetrics
from proxy.telemetry.route_metrics import RouteMetrics
from proxy.tunnel.tunnel import Tunnel

if TYPE_CHECKING:  # the plain installation, which runs proxies, has nothing for Triton
    from proxy.daemon.dispatch import Dispatcher

logger = logging.getLogger(__name__)

VERSION = metadata.version("headway")


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
    def serving(self) -> bool:
        """Whether calls are taken and a backend answers."""

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

    @property
    def sending(self) -> Sequence[ConnectionStatistics]:
        """What waits on each of them."""

    @property
    def dispatcher(self) -> Dispatcher:
        """Serves its calls."""

    def policies(self) -> dict[str, str]:
        """The policy of each route."""

    def use_policy(self, route: str, policy: str) -> None:
        """Choose by another policy. Raises ValueError that lists what is known."""


class ControlledProxy:
    """A proxy as its operator sees it."""

    def __init__(
        self,
        proxy: RunningProxy,
        settings: ProxySettings,
        *,
        calls: CallMetrics,
        classes: Mapping[str, TrafficClass],
        clock: Clock,
    ) -> None:
        self._proxy = proxy
        self._settings = settings
        self._calls = calls
        self._classes = classes
        self._clock = clock

    def status(self) -> pb.Status:
        """See the port."""
        proxy, settings, now = self._proxy, self._settings, self._clock.now()
        over_quic = settings.transport == "quic"
        tunnels = [tunnel_status(tunnel, retired=tunnel in proxy.retired) for tunnel in proxy.tunnels]
        sending = [statistics for _, statistics in tunnels if statistics is not None]
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
                queue=queue_status(sending) if sending else None,
            ),
            tunnels=[
                *(status for status, _ in tunnels),
                *(unresolved_status(name, reason) for name, reason in proxy.unresolved.items()),
            ],
            serving=proxy.serving,
            clock_s=now,
            classes=class_statuses(self._calls.statistics(now=now), self._classes),
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

    def __init__(
        self, daemon: RunningDaemon, settings: DaemonSettings, *, requests: RouteMetrics, clock: Clock
    ) -> None:
        self._daemon = daemon
        self._settings = settings
        self._requests = requests
        self._clock = clock

    def status(self) -> pb.Status:
        """See the port."""
        daemon, sending = self._daemon, self._daemon.sending
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
                queue=queue_status(sending) if sending else None,
            ),
            tunnels=[served_status(tunnel) for tunnel in daemon.tunnels],
            routes=route_statuses(daemon.dispatcher, self._requests),
            serving=daemon.serving,
            clock_s=self._clock.now(),
            tritons=triton_statuses(daemon.dispatcher),
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


def control_of_proxy(proxy: RunningProxy, config: Config, *, calls: CallMetrics, clock: Clock) -> ControlPort:
    """The control port of a proxy, whose clients' calls are counted in `calls`."""
    settings = config.require_proxy()
    controlled = ControlledProxy(proxy, settings, calls=calls, classes=config.traffic.classes, clock=clock)
    return ControlPort(controlled, config, "proxy.control_listen", settings.control_listen, settings.control_tls)


def control_of_daemon(daemon: RunningDaemon, config: Config, *, requests: RouteMetrics, clock: Clock) -> ControlPort:
    """The control port of a daemon, whose routes' requests are counted in `requests`."""
    settings = config.require_daemon()
    controlled = ControlledDaemon(daemon, settings, requests=requests, clock=clock)
    return ControlPort(controlled, config, "daemon.control_listen", settings.control_listen, settings.control_tls)
