from typing import Any

import pytest

from ops.bench.network.grid import Cell, Row
from ops.bench.network.summary import paired_difference, summarise

EDF, TCP = Row("quic", "edf", "bbr"), Row("tcp", None, "cubic")


def entry(row: Row, seed: int, on_time: float, *, load: float | None = 1.0, **more: Any) -> dict[str, Any]:
    figures = {"weighted_on_time": on_time, "score": None, "by_class": {"a": {"mean_s": seed / 10}}, **more}
    return {**Cell(row, load, seed).as_json(), "workload": "w", "metrics": figures}


ENTRIES = [
    entry(EDF, 1, 0.9),
    entry(EDF, 2, 1.0),
    entry(TCP, 1, 0.5),
    entry(TCP, 2, 0.7),
    entry(EDF, 1, 0.8, load=2.0),
]


def test_means_and_intervals_over_the_seeds() -> None:
    edf, tcp, busy = summarise(ENTRIES, [EDF, TCP])
    assert (edf["transport"], edf["scheduler"], edf["congestion_control"], edf["load"]) == ("quic", "edf", "bbr", 1.0)
    assert (edf["policy"], edf["workload"], edf["seeds"]) == (None, "w", 2)
    assert edf["mean"] == {
        "weighted_on_time": pytest.approx(0.95),
        "score": None,
        "by_class": {"a": {"mean_s": pytest.approx(0.15)}},
    }
    # Student's t for one degree of freedom is 12.706; the standard error is 0.05.
    assert edf["ci95"]["weighted_on_time"] == pytest.approx(12.706 * 0.05)
    assert tcp["mean"]["weighted_on_time"] == pytest.approx(0.6)
    assert (busy["load"], busy["seeds"], busy["ci95"]["weighted_on_time"]) == (2.0, 1, None)


def test_a_row_is_compared_with_tcp_seed_by_seed() -> None:
    edf, tcp, busy = summarise(ENTRIES, [EDF, TCP])
    assert edf["ahead_of"]["tcp/cubic"]["mean"] == pytest.approx(0.35)
    assert edf["ahead_of"]["tcp/cubic"]["ci95"] == pytest.approx(12.706 * 0.05)
    assert tcp["ahead_of"] == {}
    assert busy["ahead_of"] == {}


def test_seeds_that_only_one_row_has_are_not_compared() -> None:
    one = {1: entry(EDF, 1, 0.9), 2: entry(EDF, 2, 0.1)}
    assert paired_difference(one, {1: entry(TCP, 1, 0.4)}) == {"mean": pytest.approx(0.5), "ci95": None, "seeds": 1}
    assert paired_difference(one, {3: entry(TCP, 3, 0.4)}) is None
