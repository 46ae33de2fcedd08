from collections.abc import Sequence
from typing import Any

import pytest

from ops.bench.congestion.figures import jain, jain_over_time, metrics
from ops.bench.congestion.grid import Cell
from ops.bench.congestion.scenario import CongestionScenario, Flow, parse_scenario

FLOW = Flow.parse("quic/bbr")
SCENARIO = parse_scenario(
    {
        "link": {"rate": "8mbit", "delay": "50ms"},
        "goodput": {"seconds": 4},
        "realtime": {"requests": 4, "gap": 0.5},
        "fairness": {"seconds": 20, "join_at": 5},
        "changes": {
            "seconds": 12,
            "events": {"halved": [{"at": "4s", "rate": "4mbit"}, {"at": "8s", "rate": "8mbit"}]},
        },
    }
)
DELAYS = {"mean_s": 0.02, "p50_s": 0.01, "p95_s": 0.05, "max_s": 0.1}
STEP_BYTES = 100_000
"""What 8 Mbit/s carry in a step of 0.1 s."""


def cell(part: str, *, flows: int = 1, direction: str = "up", event: str | None = None) -> Cell:
    return Cell(part, (FLOW,) * flows, 8e6, 0.0, 1.0, direction, event, 1)


def flow(shares: Sequence[float], begins_s: float = 0.0) -> dict[str, Any]:
    """A flow that has a share of the link in each step."""
    arrived = [round(share * STEP_BYTES) for share in shares]
    return {"begins_s": begins_s, "ends_s": len(shares) / 10, "bytes": sum(arrived), "arrived": [*arrived, 0]}


def entry(**values: Any) -> dict[str, Any]:
    return {"cpu_s": {"proxy 0": 1.0}, "seconds": 4.0, **values}


def found(which: Cell, scenario: CongestionScenario = SCENARIO, **values: Any) -> dict[str, Any]:
    return metrics(which, entry(**values), scenario)


def test_goodput_counts_messages_with_and_without_the_start() -> None:
    wire = {
        "packets": 1000,
        "dropped": 5,
        "wire_bytes": 3_600_000,
        "wire_bytes_settled": 1_900_000,
        "queueing": DELAYS,
        "queueing_settled": DELAYS | {"mean_s": 0.03},
    }
    figures = found(cell("goodput"), flows_seen=[flow([0.5] * 20 + [0.9] * 20)], wire={"up": wire})
    assert figures["goodput_share"] == pytest.approx(0.7)
    assert figures["goodput_share_settled"] == pytest.approx(0.9)
    assert figures["wire_share_settled"] == pytest.approx(0.95)
    assert figures["wire_bytes_per_byte"] == pytest.approx(3.6 / 2.8)
    assert figures["queueing_mean_rtt"] == pytest.approx(0.2)
    assert (figures["queueing_settled_mean_s"], figures["dropped_share"]) == (0.03, 0.005)
    assert figures["cpu"] == {"proxy 0": 0.25}


def test_realtime_compares_the_flood_with_the_idle_link() -> None:
    probes = {
        "idle": {"latencies_s": [0.1, 0.1, 0.1, 0.2], "errors": 0},
        "flood": {"latencies_s": [0.15, 0.5, None, 0.1], "errors": 2},
    }
    seen = {"queueing": DELAYS, "wire_bytes": 1_000_000}
    wire = {phase: {"up": seen, "down": seen} for phase in probes}
    figures = found(cell("realtime", direction="both", event="none"), probes=probes, wire=wire)
    assert (figures["idle"]["p50_s"], figures["idle"]["p99_s"]) == (0.1, 0.2)
    assert (figures["flood"]["p99_s"], figures["flood"]["answered"], figures["flood"]["bulk_errors"]) == (0.5, 0.75, 2)
    assert figures["flood"]["up_wire_share"] == pytest.approx(0.5)
    assert (figures["p50_ratio"], figures["p99_ratio"]) == (pytest.approx(1.5), pytest.approx(2.5))


def test_fairness_counts_from_when_the_second_flow_has_found_its_share() -> None:
    first = flow([0.9] * 50 + [0.6] * 50 + [0.5] * 50 + [0.5] * 50)
    second = flow([0.0] * 50 + [0.1] * 50 + [0.4] * 100, begins_s=5.0)
    wire = {"up": {"queueing_s": [0.9] * 100 + [0.01, None] * 50 + [None]}}
    figures = found(cell("fairness", flows=2), flows_seen=[first, second], wire=wire)
    assert (figures["first_share"], figures["second_share"]) == (pytest.approx(0.5), pytest.approx(0.4))
    assert figures["second_of_both"] == pytest.approx(4 / 9)
    assert figures["jain"] == pytest.approx(0.81 / (2 * (0.25 + 0.16)))
    assert figures["queueing_mean_s"] == pytest.approx(0.01)
    assert figures["fair_after_s"] == pytest.approx(3.0, abs=1.0)


def test_a_share_that_is_never_fair_has_no_time() -> None:
    flows = [flow([0.9] * 200), flow([0.05] * 200, begins_s=5.0)]
    figures = found(cell("fairness", flows=2), flows_seen=flows, wire={"up": {"queueing_s": [None] * 201}})
    assert (figures["fair_after_s"], figures["queueing_mean_s"]) == (None, None)


def test_after_a_change_two_times_are_told() -> None:
    shares = [0.9] * 40 + [0.45] * 40 + [0.45] * 15 + [0.85] * 25
    queueing = [0.02] * 40 + [0.3] * 12 + [0.05] * 68 + [None]
    figures = found(cell("changes", event="halved"), flows_seen=[flow(shares)], wire={"up": {"queueing_s": queueing}})
    assert figures["share_before"] == pytest.approx(0.9)
    halved, back = figures["after"]["4 s"], figures["after"]["8 s"]
    assert (halved["goodput_share"], halved["recovered_s"]) == (pytest.approx(0.9), 0.0)
    assert halved["queue_short_s"] == pytest.approx(1.2)
    assert back["recovered_s"] == pytest.approx(1.4, abs=0.11)
    assert back["queue_short_s"] == 0.0


def test_what_does_not_come_back_has_no_time() -> None:
    shares = [0.9] * 40 + [0.1] * 80
    figures = found(
        cell("changes", event="halved"), flows_seen=[flow(shares)], wire={"up": {"queueing_s": [0.5] * 121}}
    )
    assert [one["recovered_s"] for one in figures["after"].values()] == [None, None]
    assert [one["queue_short_s"] for one in figures["after"].values()] == [None, None]


@pytest.mark.parametrize(("shares", "index"), [([1, 1], 1.0), ([1, 0], 0.5), ([2, 1], 0.9), ([0, 0], None)])
def test_jain_s_index(shares: list[int], index: float | None) -> None:
    assert jain(shares) == index


def test_jain_s_index_over_time() -> None:
    over_time = jain_over_time([[10] * 20, [0] * 10 + [10] * 10])
    assert over_time == [(0.0, 0.5), (0.5, pytest.approx(0.9)), (1.0, 1.0)]
