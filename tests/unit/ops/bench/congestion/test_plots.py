from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ops.bench.congestion.figures import metrics
from ops.bench.congestion.grid import PARTS, Cell, cells
from ops.bench.congestion.plots import changes, draw, fairness, goodput_by_loss, latency_cdfs
from ops.bench.congestion.scenario import CongestionScenario, parse_scenario
from ops.bench.congestion.summary import summarise

DELAYS = {"mean_s": 0.02, "p50_s": 0.01, "p95_s": 0.05, "max_s": 0.1}
SEEN = {
    "packets": 100,
    "dropped": 1,
    "wire_bytes": 9000,
    "wire_bytes_settled": 5000,
    "queueing": DELAYS,
    "queueing_settled": DELAYS,
    "queueing_s": [0.01] * 120 + [None],
}


def scenario() -> CongestionScenario:
    source = {
        "link": {"rate": "8mbit", "delay": "50ms"},
        "goodput": {"flows": ["quic/bbr", "tcp/cubic"], "losses": [0, "2%"]},
        "realtime": {"flows": ["quic/bbr"], "requests": 3},
        "fairness": {"seconds": 12, "join_at": 2, "pairs": [["quic/bbr", "quic/bbr"], ["kernel/cubic", "quic/bbr"]]},
        "changes": {"seconds": 12, "flows": ["quic/bbr"], "events": {"blackout": [{"at": "4s", "loss": "100%"}]}},
    }
    return parse_scenario(source)


def entry(cell: Cell) -> dict[str, Any]:
    flow = {"begins_s": 0.0, "ends_s": 12.0, "bytes": 6_000_000, "arrived": [50_000] * 120 + [0]}
    probe = {"latencies_s": [0.1, 0.2, None], "errors": 0}
    realtime = cell.part == "realtime"
    kept = {
        **cell.as_json(),
        "flows_seen": [flow for _ in cell.flows],
        "wire": {phase: {"up": SEEN, "down": SEEN} for phase in ("idle", "flood")}
        if realtime
        else {"up": SEEN, "down": SEEN},
        "probes": {"idle": probe, "flood": probe} if realtime else {},
        "cpu_s": {"proxy 0": 0.5},
        "seconds": 12.0,
    }
    return {**kept, "metrics": metrics(cell, kept, scenario())}


def entries(part: str) -> list[dict[str, Any]]:
    return [entry(cell) for cell in sorted(cells(scenario(), [part]), key=str)]


@pytest.mark.slow
def test_there_is_a_picture_for_everything(tmp_path: Path) -> None:
    wanted = cells(scenario(), PARTS)
    some = [entry(cell) for cell in wanted]
    made = draw(scenario(), some, summarise(some, wanted), tmp_path / "out")
    assert {file.name for file in made} == {
        "goodput-8mbit-queue-1.png",
        "realtime-bulk-due-none.png",
        "fairness-queue-1.png",
        "changes-blackout.png",
    }
    for file in made:
        assert file.read_bytes().startswith(b"\x89PNG")


def test_goodput_against_loss() -> None:
    wanted = cells(scenario(), ["goodput"])
    figure = goodput_by_loss(scenario(), summarise([entry(cell) for cell in wanted], sorted(wanted, key=str)))
    upper = figure.axes[0]
    line = next(one for one in upper.lines if np.asarray(one.get_ydata())[0] == pytest.approx(50.0))
    assert np.asarray(line.get_xdata()).tolist() == [0.0, 2.0]
    # 50 000 bytes in 0.1 s are half of 8 Mbit/s; 118 steps of the transfer's 18 s after its start are there.
    assert np.asarray(line.get_ydata()).tolist() == pytest.approx([50.0, 50.0])
    assert upper.get_title() == "upload"


def test_a_step_for_each_answer_of_all_requests() -> None:
    figure = latency_cdfs(entries("realtime"))
    idle = next(one for one in figure.axes[0].lines if one.get_label() == "idle link")
    assert np.asarray(idle.get_xdata()).tolist() == [100.0, 200.0]  # milliseconds
    assert np.asarray(idle.get_ydata()).tolist() == pytest.approx([1 / 3, 2 / 3])


def test_both_flows_and_jain_s_index_over_time() -> None:
    figure = fairness(scenario(), entries("fairness"))
    upper, lower = figure.axes[0], figure.axes[2]
    assert [line.get_label() for line in upper.lines[:2]] == ["kernel/cubic, first", "quic/edf/bbr, second"]
    assert np.asarray(upper.lines[0].get_ydata())[0] == pytest.approx(4.0)
    assert set(np.asarray(lower.lines[0].get_ydata()).tolist()) == {1.0}


def test_a_link_is_drawn_with_the_rate_that_it_carries() -> None:
    figure = changes(scenario(), entries("changes"))
    link = next(line for line in figure.axes[0].lines if line.get_label() == "link")
    assert np.asarray(link.get_xdata()).tolist() == [0.0, 4.0, 12.0]
    assert np.asarray(link.get_ydata()).tolist() == [8.0, 0.0, 0.0]
