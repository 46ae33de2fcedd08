"""What Prometheus sees of a proxy or a daemon, and where."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Protocol

from prometheus_client import ProcessCollector

from proxy.compose.control import VERSION
from proxy.compose.listening import cannot_listen
from proxy.config import Address, Config, DaemonSettings, ProxySettings
from proxy.config.records import Role
from proxy.errors import ConfigError, HeadwayError
from proxy.quic.client import QuicTunnel
from proxy.quic.statistics import ConnectionStatistics
from proxy.tcp.client import TcpTunnel
from proxy.telemetry import metric_names as names
from proxy.telemetry.call_metrics import CallMetrics
from proxy.telemetry.certificate_metrics import CertificateFile, certificate_families
from proxy.telemetry.exposition import Family
from proxy.telemetry.metrics import family_of
from proxy.telemetry.path_metrics import Path, PathMetrics, queue_families
from proxy.telemetry.scrape_server import Families, ScrapeServer
from proxy.telemetry.tracing import Tracing
from proxy.tunnel.tunnel import Tunnel, TunnelState

logger = logging.getLogger(__name__)

TUNNELS_A_TURN = 16
"""Connections that are read before the event loop does other work: 20 µs each, with few streams."""


SHARED = "; a proxy and a daemon on one host need an address each, by proxy.metrics_listen or daemon.metrics_listen"


class Running(Protocol):
    """What is asked of a `Proxy` and of a `Daemon`."""

    @property
    def calls(self) -> int:
        """Taken and not finished."""

    @property
    def draining(self) -> bool:
        """Whether new calls are refused."""

    @property
    def scheduler(self) -> str:
        """The discipline in use."""


class RunningProxy(Running, Protocol):
    """What is asked of a `Proxy`."""

    @property
    def tunnels(self) -> Sequence[Tunnel]:
        """One for each daemon that is known now, those that take no new calls last."""


class MetricsPort:
    """Where a process is scraped, if the configuration says so: `start`, then `stop`."""

    def __init__(self, config: Config, role: Role, sources: Sequence[Families]) -> None:
        self._config = config
        self._key, self._listen = metrics_listen(config, role)
        self._server = ScrapeServer(*sources)

    def __repr__(self) -> str:
        return f"<MetricsPort {self.address or 'off'}>"

    @property
    def address(self) -> str:
        """`host:port`, once started; empty for nowhere."""
        return str(Address(self._listen.host, self._server.port)) if self._listen and self._server.port else ""

    async def page(self) -> str:
        """What a scrape would see now."""
        text, _ = await self._server.page()
        return text.decode()

    async def start(self) -> None:
        """Listen. Raises `ConfigError` if the port is taken."""
        if self._listen is None:
            return
        try:
            await self._server.start(self._listen.host, self._listen.port)
        except HeadwayError as error:
            [line] = cannot_listen(self._config, self._key, self._listen, "TCP", error).problems
            raise ConfigError([line + (SHARED if self._key.startswith("telemetry.") else "")]) from None
        logger.info("Metrics at http://%s/metrics", self.address)

    async def stop(self) -> None:
        """Stop listening."""
        await self._server.stop()


def metrics_listen(config: Config, role: Role) -> tuple[str, Address | None]:
    """Where the role's process is to be scraped, and the key that says so."""
    section = config.proxy if role == "proxy" else config.daemon
    if section is not None and section.metrics_listen is not None:
        return f"{role}.metrics_listen", section.metrics_listen
    return "telemetry.metrics_listen", config.telemetry.metrics_listen


def metrics_of_proxy(proxy: RunningProxy, config: Config, *, calls: CallMetrics, tracing: Tracing) -> MetricsPort:
    """The metrics of a proxy."""
    settings = config.require_proxy()
    tunnels = TunnelMetrics(proxy, over_quic=settings.transport == "quic")
    process = ProcessMetrics("proxy", proxy, tracing=tracing, certificates=_proxy_certificates(settings))
    return MetricsPort(config, "proxy", (calls.families, tunnels.families, process.families))


class ProcessMetrics:
    """What is told of any process."""

    def __init__(
        self, role: Role, process: Running, *, tracing: Tracing, certificates: Sequence[CertificateFile]
    ) -> None:
        self._role = role
        self._process = process
        self._tracing = tracing
        self._certificates = certificates
        self._usage = ProcessCollector(registry=None)

    def __repr__(self) -> str:
        return f"<ProcessMetrics {self._role}>"

    def families(self) -> Iterator[Family]:
        """What a scrape sees."""
        role, process, spans = self._role, self._process, self._tracing.statistics()
        yield family_of(names.BUILD_INFO, [((VERSION, role), 1)])
        yield family_of(names.CALLS, [((role,), process.calls)])
        yield family_of(names.DRAINING, [((role,), int(process.draining))])
        outcomes = (("exported", spans.exported), ("failed", spans.failed), ("dropped", spans.dropped))
        yield family_of(names.SPANS, (((outcome,), count) for outcome, count in outcomes))
        yield from certificate_families(self._certificates)
        for used in self._usage.collect():
            yield Family(used.name, used.type, used.documentation, used.samples)


class TunnelMetrics:
    """A proxy's tunnels."""

    def __init__(self, proxy: RunningProxy, *, over_quic: bool) -> None:
        self._proxy = proxy
        self._over_quic = over_quic
        self._paths = PathMetrics("uplink")

    def __repr__(self) -> str:
        return f"<TunnelMetrics {len(self._proxy.tunnels)} tunnels>"

    def families(self) -> Iterator[Family | None]:
        """What a scrape sees. Of tunnels over TCP no path is known, and no queue."""
        tunnels = tuple(self._proxy.tunnels)
        up = (((tunnel.name,), int(tunnel.state is TunnelState.READY)) for tunnel in tunnels)
        yield family_of(names.TUNNEL_UP, up)
        connected = (tunnel for tunnel in tunnels if isinstance(tunnel, (QuicTunnel, TcpTunnel)))
        yield family_of(names.TUNNEL_CONNECTS, (((tunnel.name,), tunnel.connects) for tunnel in connected))
        if not self._over_quic:
            return
        found: list[tuple[str, ConnectionStatistics]] = []
        for number, tunnel in enumerate(tunnels, 1):
            if isinstance(tunnel, QuicTunnel) and tunnel.state is TunnelState.READY:
                statistics = tunnel.statistics()
                if statistics is not None:
                    found.append((tunnel.name, statistics))
            if number % TUNNELS_A_TURN == 0:
                yield None
        yield from queue_families("uplink", [statistics for _, statistics in found], self._proxy.scheduler)
        paths = [Path(name, name, statistics.path) for name, statistics in found]
        yield from self._paths.families(paths, peers=[tunnel.name for tunnel in tunnels])


def _proxy_certificates(settings: ProxySettings) -> list[CertificateFile]:
    over_quic = settings.transport == "quic"  # which reads them at each connection, TCP once
    files = [
        CertificateFile(key, path, read_again=over_quic)
        for key, path in (("proxy.ca", settings.ca), ("proxy.client_cert", settings.client_cert))
        if path is not None
    ]
    if settings.tls is not None:
        files.append(CertificateFile("proxy.tls.cert", settings.tls.cert))
        if settings.tls.client_ca is not None:
            files.append(CertificateFile("proxy.tls.client_ca", settings.tls.client_ca))
    return files + control_certificates("proxy", settings)


def control_certificates(role: Role, settings: ProxySettings | DaemonSettings) -> list[CertificateFile]:
    """Those of the control service's TLS."""
    tls = settings.control_tls
    if tls is None:
        return []
    return [
        CertificateFile(f"{role}.control_tls.cert", tls.cert),
        CertificateFile(f"{role}.control_tls.client_ca", tls.client_ca),
    ]
