from typing import Any

import pytest

from ops.bench.congestion.grid import Cell
from ops.bench.congestion.scenario import Flow
from ops.bench.congestion.summary import summarise


def cell(seed: int, loss: float = 0.0) -> Cell:
    return Cell("goodput", (Flow.parse("quic/bbr"),), 5e6, loss, 1.0, "up", None, seed)


def entry(which: Cell, share: float | None) -> dict[str, Any]:
    return {**which.as_json(), "metrics": {"goodput_share": share, "cpu": {"proxy 0": 0.5}}}


def test_one_entry_a_setting_with_its_interval_over_the_seeds() -> None:
    entries = [entry(cell(1, 0.02), 0.5), entry(cell(1), 0.9), entry(cell(2), 0.8), entry(cell(3), None)]
    lossless, lossy = summarise(entries, [cell(1), cell(2), cell(3), cell(1, 0.02), cell(1, 0.05)])
    assert (lossless["loss"], lossless["seeds"], lossy["loss"], lossy["seeds"]) == (0.0, 3, 0.02, 1)
    assert lossless["mean"]["goodput_share"] == pytest.approx(0.85)
    assert lossless["ci95"]["goodput_share"] == pytest.approx(12.706 * 0.05)
    assert lossy["mean"] == {"goodput_share": 0.5, "cpu": {"proxy 0": 0.5}}
    assert lossy["ci95"] == {"goodput_share": None, "cpu": {"proxy 0": None}}
    assert "seed" not in lossless


def test_a_figure_without_a_value_has_no_mean() -> None:
    (only,) = summarise([entry(cell(1), None)], [cell(1)])
    assert only["mean"]["goodput_share"] is None
