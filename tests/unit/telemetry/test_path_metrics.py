from __future__ import annotations

import math

from proxy.quic.limits import PathStatistics
from proxy.quic.statistics import ConnectionStatistics
from proxy.telemetry.path_metrics import Path, PathMetrics, queue_families
from tests.unit.telemetry.pages import values


def path(peer: str, connection: str = "1", *, sent: int = 0, lost: int = 0, late: int = 0, rtt_s: float = 0.1) -> Path:
    statistics = PathStatistics(
        rtt_s, rtt_s / 2, 1000, 100, 1200, sent_packets=sent, lost_packets=lost, late_packets=late
    )
    return Path(peer, connection, statistics)


def waiting(scheduler: str, *, mode: str = "", ready: int = 1, pending_bytes: int = 10) -> ConnectionStatistics:
    data: dict[str, str | int | float] = {"mode": mode} if mode else {}
    return ConnectionStatistics(5, ready, pending_bytes, scheduler, data, path("x").statistics)


def test_connections_of_one_host_are_one_series() -> None:
    metrics = PathMetrics("downlink")
    fast = PathStatistics(0.02, 0.01, 500, 50, 1200, delivery_rate_bytes_s=2e6)
    families = list(metrics.families([path("h", "1"), Path("h", "2", fast), path("other", rtt_s=0.3)]))
    h, other = ("downlink", "h"), ("downlink", "other")
    assert values(families, "headway_quic_rtt_seconds") == {h: 0.1, other: 0.3}
    assert values(families, "headway_quic_min_rtt_seconds") == {h: 0.01, other: 0.15}
    assert values(families, "headway_quic_cwnd_bytes") == {h: 1500, other: 1000}
    assert values(families, "headway_quic_in_flight_bytes") == {h: 150, other: 100}
    assert values(families, "headway_quic_delivery_rate_bytes_per_second") == {h: 2e6}


def test_what_has_not_been_measured_is_absent() -> None:
    new = Path("h", "1", PathStatistics(0.0, math.inf, 1000, 0, 1200))
    families = list(PathMetrics("uplink").families([new]))
    assert values(families, "headway_quic_rtt_seconds") == {}
    assert values(families, "headway_quic_min_rtt_seconds") == {}
    assert values(families, "headway_quic_delivery_rate_bytes_per_second") == {}


def test_counters_never_fall() -> None:
    metrics = PathMetrics("downlink")

    def sent(*paths: Path) -> float:
        return values(metrics.families(paths), "headway_quic_sent_packets_total")["downlink", "h"]

    assert sent(path("h", "1", sent=10), path("h", "2", sent=5)) == 15
    assert sent(path("h", "1", sent=12), path("h", "2", sent=5)) == 17
    assert sent(path("h", "2", sent=6)) == 18  # one has ended
    assert sent(path("h", "2", sent=2)) == 20  # another one from the same port


def test_a_packet_found_late_was_declared_lost_once() -> None:
    metrics = PathMetrics("uplink")

    def lost(lost: int, late: int = 0) -> float:
        return values(metrics.families([path("h", sent=100, lost=lost, late=late)]), "headway_quic_lost_packets_total")[
            "uplink", "h"
        ]

    assert [lost(3), lost(2, late=1), lost(4, late=1)] == [3, 3, 5]


def test_counters_of_a_peer_stay_as_long_as_it_is_known() -> None:
    metrics = PathMetrics("uplink")
    list(metrics.families([path("h", sent=10)], peers=["h"]))
    away = list(metrics.families([], peers=["h"]))
    assert values(away, "headway_quic_sent_packets_total") == {("uplink", "h"): 10}
    assert values(away, "headway_quic_rtt_seconds") == {}
    assert values(metrics.families([], peers=[]), "headway_quic_sent_packets_total") == {}


def test_queues_are_added_up() -> None:
    families = list(queue_families("uplink", [waiting("edf"), waiting("edf", ready=2, pending_bytes=5)], "edf"))
    assert values(families, "headway_queue_size") == {("uplink",): 3}
    assert values(families, "headway_queue_bytes") == {("uplink",): 15}
    assert values(families, "headway_scheduler_mode") == {("uplink", "edf", "edf"): 1}


def test_adaptive_says_its_modes() -> None:
    connections = [waiting("adaptive", mode="pruning"), waiting("adaptive", mode="edf")]
    assert values(queue_families("uplink", connections, "adaptive"), "headway_scheduler_mode") == {
        ("uplink", "adaptive", "edf"): 1,
        ("uplink", "adaptive", "pruning"): 1,
    }


def test_without_a_connection_the_discipline_is_the_one_that_comes_into_use() -> None:
    for scheduler, mode in (("rr", "rr"), ("adaptive", "edf")):
        families = list(queue_families("downlink", [], scheduler))
        assert values(families, "headway_scheduler_mode") == {("downlink", scheduler, mode): 1}
        assert values(families, "headway_queue_size") == {("downlink",): 0}
