"""What a proxy or a daemon knows of itself, as messages of the control service.

Nothing is infinite or not a number in a message: what there is no sample of yet is absent, or 0.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from policies.traffic import TrafficClass
from proxy.pb.headway.v1 import control_pb2 as pb
from proxy.quic.client import QuicTunnel
from proxy.quic.limits import PathStatistics, ServedTunnel
from proxy.quic.statistics import ConnectionStatistics
from proxy.telemetry.call_metrics import ClassStatistics
from proxy.telemetry.recent import WINDOW_S, RecentDurations
from proxy.telemetry.route_metrics import RouteMetrics
from proxy.tunnel.tunnel import Tunnel, TunnelState

if TYPE_CHECKING:  # the plain installation, which runs proxies, has nothing for Triton
    from proxy.daemon.dispatch import Dispatcher
    from proxy.daemon.guard import GuardStatistics

RETIRED = "takes no new calls: its address has gone from DNS"

_STATES = {
    TunnelState.CONNECTING: pb.TunnelState.CONNECTING,
    TunnelState.READY: pb.TunnelState.READY,
    TunnelState.LOST: pb.TunnelState.LOST,
}


def class_statuses(
    calls: Mapping[str, ClassStatistics], classes: Mapping[str, TrafficClass]
) -> Iterator[pb.ClassStatus]:
    """One for each class that is configured, then for what else calls have brought."""
    for name in (*classes, *(name for name in calls if name not in classes)):
        numbers = calls.get(name)
        if numbers is None:
            continue
        status = pb.ClassStatus(
            name=name,
            on_time=numbers.on_time,
            late=numbers.late,
            failed=numbers.failed,
            refused=numbers.refused,
            cancelled=numbers.cancelled,
            missed=numbers.missed,
            latency=_latency(numbers.recent),
        )
        deadline_s = classes[name].deadline_s if name in classes else math.inf
        if math.isfinite(deadline_s):
            status.deadline_s = deadline_s
        yield status


def tunnel_status(tunnel: Tunnel, *, retired: bool) -> tuple[pb.TunnelStatus, ConnectionStatistics | None]:
    """A proxy's tunnel, and what waits on it; None without a QUIC connection."""
    ready = tunnel.state is TunnelState.READY
    status = pb.TunnelStatus(
        peer=tunnel.name,
        state=_STATES[tunnel.state],
        reason=RETIRED if retired else "" if ready else tunnel.reason,
        calls=tunnel.calls,
    )
    if not ready:
        return status, None
    load = tunnel.load
    status.load.CopyFrom(pb.ReportedLoad(calls=load.calls, draining=load.draining, serving=load.serving))
    statistics = tunnel.statistics() if isinstance(tunnel, QuicTunnel) else None
    if statistics is not None:
        status.path.CopyFrom(_path(statistics.path))
        status.queue.CopyFrom(queue_status([statistics]))
    return status, statistics


def unresolved_status(name: str, reason: str) -> pb.TunnelStatus:
    """A DNS name that has brought no tunnel."""
    return pb.TunnelStatus(peer=name, state=pb.TunnelState.CONNECTING, reason=reason)


def served_status(tunnel: ServedTunnel) -> pb.TunnelStatus:
    """A daemon's tunnel."""
    return pb.TunnelStatus(peer=tunnel.peer, state=pb.TunnelState.READY, calls=tunnel.calls, path=_path(tunnel.path))


def queue_status(connections: Sequence[ConnectionStatistics]) -> pb.QueueStatus:
    """What waits on all of them together."""
    return pb.QueueStatus(
        streams=sum(one.streams for one in connections),
        streams_ready=sum(one.streams_ready for one in connections),
        pending_bytes=sum(one.pending_bytes for one in connections),
        modes=sorted({str(one.scheduler_data.get("mode", one.scheduler)) for one in connections}),
    )


def triton_statuses(dispatcher: Dispatcher) -> Iterator[pb.TritonStatus]:
    """One for each Triton."""
    serving = dispatcher.report().serving
    for name in dispatcher.backends:
        yield pb.TritonStatus(name=name, serving=name in serving)


def route_statuses(dispatcher: Dispatcher, requests: RouteMetrics) -> Iterator[pb.RouteStatus]:
    """One for each route, by name."""
    candidates, loads, guards = dispatcher.candidates(), dispatcher.statistics(), dispatcher.guards()
    waiting = dispatcher.waiting()
    sent: Counter[tuple[str, str, str]] = Counter()
    for sample in requests.selected.family().samples:
        labels = sample.labels
        sent[labels["route"], labels["model"], labels["triton"]] += int(sample.value)
    classes = _route_classes(requests)
    for route, policy in sorted(dispatcher.policies().items()):
        status = pb.RouteStatus(
            route=route,
            policy=policy,
            classes=classes.get(route, {}).values(),
            waiting=waiting[route].requests,
            waiting_bytes=waiting[route].held_bytes,
        )
        if route in guards:
            status.guard.CopyFrom(_guard(guards[route]))
        for one in candidates[route]:
            load = loads[one.instance, one.name]
            candidate = pb.CandidateStatus(
                model=one.name,
                triton=one.instance,
                quality=one.quality,
                ready=one.ready,
                requests=sent[route, one.name, one.instance],
                running=one.running,
                waiting=one.waiting,
                finished=load.finished,
                failed=load.failed,
                error_rate=one.error_rate,
                slow_down=one.slow_down,
                latency_s=one.latency_s,
                gpu_load=one.gpu_load,
            )
            status.candidates.append(candidate)
        yield status


def _route_classes(requests: RouteMetrics) -> dict[str, dict[str, pb.RouteClassStatus]]:
    """By route and class."""
    found: dict[str, dict[str, pb.RouteClassStatus]] = {}
    for sample in requests.accuracy.family().samples:
        name, route = sample.labels["class"], sample.labels["route"]
        status = found.setdefault(route, {}).setdefault(name, pb.RouteClassStatus(name=name))
        if sample.name.endswith("_count"):
            status.requests = int(sample.value)
        else:
            status.worth = sample.value
    return found


def _guard(statistics: GuardStatistics) -> pb.GuardStatus:
    return pb.GuardStatus(decisions=statistics.decisions, fallbacks=statistics.fallbacks, unusable=statistics.unusable)


def _latency(recent: RecentDurations) -> pb.RecentLatency:
    status = pb.RecentLatency(window_s=WINDOW_S, calls=recent.count)
    if recent.count:
        status.p50_s, status.p99_s = recent.p50_s, recent.p99_s
    return status


def _path(path: PathStatistics) -> pb.PathStatus:
    status = pb.PathStatus(
        rtt_s=path.rtt_s,
        min_rtt_s=path.min_rtt_s if math.isfinite(path.min_rtt_s) else 0.0,
        congestion_window_bytes=path.congestion_window_bytes,
        bytes_in_flight=path.bytes_in_flight,
        datagram_bytes=path.datagram_bytes,
        sent_packets=path.sent_packets,
        # The path's own count is without those that arrived after all, and so may fall.
        lost_packets=path.lost_packets + path.late_packets,
        late_packets=path.late_packets,
        congestion_state=path.congestion_state,
    )
    if math.isfinite(path.delivery_rate_bytes_s):
        status.delivery_rate_bytes_s = path.delivery_rate_bytes_s
    return status
