"""What Prometheus sees of a daemon: its routes and Triton servers, and its ends of the tunnels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from proxy.compose.metrics import MetricsPort, ProcessMetrics, Running, control_certificates
from proxy.config import Config, DaemonSettings
from proxy.daemon.dispatch import Dispatcher
from proxy.daemon.guard import SLOW
from proxy.quic.limits import ServedTunnel
from proxy.quic.statistics import ConnectionStatistics
from proxy.telemetry import metric_names as names
from proxy.telemetry.certificate_metrics import CertificateFile
from proxy.telemetry.exposition import Family
from proxy.telemetry.metrics import family_of
from proxy.telemetry.path_metrics import Path, PathMetrics, queue_families
from proxy.telemetry.route_metrics import RouteMetrics
from proxy.telemetry.tracing import Tracing


class RunningDaemon(Running, Protocol):
    """What is asked of a `Daemon`."""

    @property
    def dispatcher(self) -> Dispatcher:
        """Serves its calls."""

    @property
    def tunnels(self) -> Sequence[ServedTunnel]:
        """Those over QUIC."""

    @property
    def sending(self) -> Sequence[ConnectionStatistics]:
        """What waits on each of them."""


def metrics_of_daemon(
    daemon: RunningDaemon, config: Config, *, requests: RouteMetrics, tracing: Tracing
) -> MetricsPort:
    """The metrics of a daemon."""
    settings = config.require_daemon()
    routes, tunnels = DispatcherMetrics(daemon.dispatcher), ServedTunnelMetrics(daemon)
    process = ProcessMetrics("daemon", daemon, tracing=tracing, certificates=_certificates(settings))
    return MetricsPort(config, "daemon", (requests.families, routes.families, tunnels.families, process.families))


class DispatcherMetrics:
    """The candidates of a daemon's routes, and where they run, as the dispatcher knows them at the scrape."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    def __repr__(self) -> str:
        return f"<DispatcherMetrics {self._dispatcher!r}>"

    def families(self) -> Iterator[Family]:
        """What a scrape sees."""
        dispatcher = self._dispatcher
        yield family_of(names.POLICY_FALLBACK, self._fallbacks())
        waiting = dispatcher.waiting()
        yield family_of(names.ROUTE_QUEUE_SIZE, (((route,), one.requests) for route, one in waiting.items()))
        yield family_of(names.ROUTE_QUEUE_BYTES, (((route,), one.held_bytes) for route, one in waiting.items()))
        candidates = [
            ((route, candidate.name, candidate.instance), candidate)
            for route, all_of_it in dispatcher.candidates().items()
            for candidate in all_of_it
        ]
        yield family_of(names.CANDIDATE_READY, ((labels, int(candidate.ready)) for labels, candidate in candidates))
        loads = dispatcher.statistics()
        requests = ((labels, loads[one.instance, one.name].running) for labels, one in candidates)
        yield family_of(names.CANDIDATE_REQUESTS, requests)
        serving = dispatcher.report().serving
        yield family_of(names.TRITON_UP, (((name,), int(name in serving)) for name in dispatcher.backends))

    def _fallbacks(self) -> Iterator[tuple[tuple[str, str], int]]:
        guards = self._dispatcher.guards()
        for route, policy in self._dispatcher.policies().items():
            guard = guards.get(route)
            causes = {} if guard is None else guard.fallbacks
            # One that was too slow stood nevertheless.
            yield (route, policy), sum(count for cause, count in causes.items() if cause != SLOW)


class ServedTunnelMetrics:
    """The tunnels of a daemon over QUIC."""

    def __init__(self, daemon: RunningDaemon) -> None:
        self._daemon = daemon
        self._paths = PathMetrics("downlink")

    def __repr__(self) -> str:
        return f"<ServedTunnelMetrics {self._paths!r}>"

    def families(self) -> Iterator[Family | None]:
        """What a scrape sees."""
        sending = self._daemon.sending
        yield None
        yield from queue_families("downlink", sending, self._daemon.scheduler)
        tunnels = self._daemon.tunnels
        yield None
        yield from self._paths.families([Path(_host(one.peer), one.peer, one.path) for one in tunnels])


def _host(peer: str) -> str:
    """Without the port."""
    return peer.rpartition(":")[0].strip("[]") or peer


def _certificates(settings: DaemonSettings) -> list[CertificateFile]:
    files = [CertificateFile("daemon.cert", settings.cert)]
    if settings.client_ca is not None:
        files.append(CertificateFile("daemon.client_ca", settings.client_ca))
    return files + control_certificates("daemon", settings)
