"""Cells as rows."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from ops.bench.real_serving.tables import print_tables, starved, summarise


def cell(policy: str, seed: int, real: float, simulated: float) -> dict[str, Any]:
    def figures(score: float) -> dict[str, Any]:
        return {
            "score": score,
            "on_time": score,
            "p50_s": None if seed == 9 else 0.2,
            "by_class": {"a": {"p50_s": 0.1}},
        }

    apart = {"score": real - simulated, "on_time": real - simulated}
    return {
        "workload": "stable",
        "policy": policy,
        "seed": seed,
        "transport": "quic",
        "metrics": figures(real),
        "simulated": figures(simulated),
        "difference": apart,
        "seconds": 10.0,
        "waited_s": {"proxy": 0.5, "triton": 0.1},
    }


def test_a_row_has_means_intervals_and_the_paired_difference() -> None:
    rows = summarise([cell("b", 1, 0.7, 0.72), cell("a", 1, 0.5, 0.5), cell("b", 2, 0.8, 0.80)])
    assert [(row["policy"], row["seeds"]) for row in rows] == [("a", 1), ("b", 2)]
    both = rows[1]
    assert both["mean"]["score"] == pytest.approx(0.75)
    assert both["mean"]["by_class"]["a"]["p50_s"] == pytest.approx(0.1)
    assert both["simulated_mean"]["score"] == pytest.approx(0.76)
    assert both["difference_mean"]["score"] == pytest.approx(-0.01)
    assert both["difference_ci95"]["score"] == pytest.approx(12.706 * 0.01)
    assert rows[0]["ci95"]["score"] is None


def test_the_table() -> None:
    out = io.StringIO()
    rows = summarise([cell("dqn", 1, 0.7, 0.72), cell("dqn", 2, 0.8, 0.8), cell("greedy", 9, 0.1, 0.1)])
    print_tables(rows, Console(file=out, width=120))
    text = out.getvalue()
    assert "75.0 ±63.5" in text
    assert "-1.0 ±12.7" in text
    assert "–" in text
    print_tables([], Console(file=out))


def test_a_cell_without_cores_is_noticed() -> None:
    entry = cell("dqn", 1, 0.7, 0.7)
    assert not starved(entry)
    entry["waited_s"]["triton"] = 1.6
    assert starved(entry)
