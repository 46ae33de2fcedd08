"""What tunnels over QUIC have measured, and what waits to be sent on them, read at each scrape.

Several connections may be one series (a proxy's connection is made again; a daemon has one of each proxy of a host).
Each counts from 0, so their sum would fall when one ends, and what is left would look like as many new packets. So
what each connection has counted since the scrape before is added up here instead; lost is what the last of a
connection's life brought after the last scrape.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from proxy.quic.limits import PathStatistics
from proxy.quic.statistics import ConnectionStatistics
from proxy.telemetry import metric_names as names
from proxy.telemetry.exposition import Family
from proxy.telemetry.metrics import family_of


@dataclass(frozen=True, slots=True)
class Path:
    """One connection, now."""

    peer: str
    """Its series."""
    connection: str
    """Which one of the peer's it is."""
    statistics: PathStatistics


@dataclass(slots=True)
class _Count:
    """How far the connections of one peer have got."""

    sent: int = 0
    lost: int = 0


class PathMetrics:
    """The path's metrics of one end, by peer. `direction` is the one in which this end sends."""

    def __init__(self, direction: str) -> None:
        self._direction = direction
        self._totals: dict[str, _Count] = {}
        self._seen: dict[tuple[str, str], _Count] = {}

    def __repr__(self) -> str:
        return f"<PathMetrics {self._direction} peers={len(self._totals)} connections={len(self._seen)}>"

    def families(self, paths: Sequence[Path], *, peers: Iterable[str] = ()) -> Iterator[Family]:
        """What a scrape sees. Counters stay for `peers` that have no connection now."""
        self._count(paths, peers)
        by_peer: dict[str, list[PathStatistics]] = {}
        for path in paths:
            by_peer.setdefault(path.peer, []).append(path.statistics)
        for metric, number in (
            (names.RTT, lambda all_: max(one.rtt_s for one in all_) or math.inf),
            (names.MIN_RTT, lambda all_: min(one.min_rtt_s for one in all_)),
            (names.DELIVERY_RATE, _delivery_rate),
            (names.CWND, lambda all_: sum(one.congestion_window_bytes for one in all_)),
            (names.IN_FLIGHT, lambda all_: sum(one.bytes_in_flight for one in all_)),
        ):
            rows = ((peer, number(all_)) for peer, all_ in by_peer.items())
            # Infinite is what has not been measured yet.
            yield family_of(metric, (((self._direction, peer), value) for peer, value in rows if math.isfinite(value)))
        totals = self._totals.items()
        yield family_of(names.SENT_PACKETS, (((self._direction, peer), count.sent) for peer, count in totals))
        yield family_of(names.LOST_PACKETS, (((self._direction, peer), count.lost) for peer, count in totals))

    def _count(self, paths: Sequence[Path], peers: Iterable[str]) -> None:
        known = {path.peer for path in paths} | set(peers)
        self._totals = {peer: self._totals.get(peer) or _Count() for peer in sorted(known)}
        seen: dict[tuple[str, str], _Count] = {}
        for path in paths:
            before = self._seen.get((path.peer, path.connection)) or _Count()
            # A packet that was found lost and then arrived is counted as late, and no longer as lost.
            now = _Count(path.statistics.sent_packets, path.statistics.lost_packets + path.statistics.late_packets)
            if now.sent < before.sent:  # another connection of the same name
                before = _Count()
            total = self._totals[path.peer]
            total.sent += now.sent - before.sent
            total.lost += max(now.lost - before.lost, 0)
            seen[path.peer, path.connection] = now
        self._seen = seen


def queue_families(direction: str, connections: Sequence[ConnectionStatistics], scheduler: str) -> Iterator[Family]:
    """What waits on all connections of one end, and in which order it is sent: by `scheduler` while there are none."""
    yield family_of(names.QUEUE_SIZE, [((direction,), sum(one.streams_ready for one in connections))])
    yield family_of(names.QUEUE_BYTES, [((direction,), sum(one.pending_bytes for one in connections))])
    in_use = {(one.scheduler, str(one.scheduler_data.get("mode", one.scheduler))) for one in connections}
    in_use = in_use or ({(scheduler, "edf" if scheduler == "adaptive" else scheduler)} if scheduler else set())
    yield family_of(names.SCHEDULER_MODE, (((direction, name, mode), 1) for name, mode in sorted(in_use)))


def _delivery_rate(paths: Sequence[PathStatistics]) -> float:
    """All together, of those that have a sample."""
    rates = [one.delivery_rate_bytes_s for one in paths if math.isfinite(one.delivery_rate_bytes_s)]
    return sum(rates) if rates else math.inf
