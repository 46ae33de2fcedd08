import io
from typing import Any

from rich.console import Console

from ops.bench.network.tables import best_rows, latencies, percent, print_tables, row_name


def entry(scheduler: str | None, load: float | None, mean: float, half: float | None, **more: Any) -> dict[str, Any]:
    figures = {"weighted_on_time": mean, "bound_share": None, "by_class": {"a": {"mean_s": 0.25}, "b": {}}}
    return {
        "transport": "quic" if scheduler else "tcp",
        "scheduler": scheduler,
        "congestion_control": "bbr",
        "load": load,
        "mean": figures,
        "ci95": {"weighted_on_time": half, "bound_share": None},
        "ahead_of": {},
        **more,
    }


SUMMARY = [
    entry("rr", 1.0, 0.7, 0.02),
    entry("edf", 1.0, 0.98, 0.01),
    entry("adaptive", 1.0, 0.96, 0.02),
    entry(None, 1.0, 0.6, None),
    entry("rr", 2.0, 0.5, 0.1, ahead_of={"tcp/bbr": {"mean": -0.1, "ci95": 0.2}}),
]


def test_figures() -> None:
    assert percent(SUMMARY[0], "weighted_on_time") == "70.0 ±2.0"
    assert percent(SUMMARY[3], "weighted_on_time") == "60.0"
    assert percent(SUMMARY[3], "bound_share") == "–"
    assert latencies(SUMMARY[0], ["a", "b"]) == "0.25/–"
    assert (row_name(SUMMARY[0]), row_name(SUMMARY[3])) == ("quic/rr/bbr", "tcp/bbr")


def test_the_best_are_those_within_reach_of_the_highest() -> None:
    best = best_rows(SUMMARY)
    assert {(key[1], key[3]) for key in best} == {("edf", 1.0), ("adaptive", 1.0), ("rr", 2.0)}


def test_a_row_for_each_and_a_column_a_load() -> None:
    written = io.StringIO()
    print_tables(SUMMARY, Console(file=written, width=120))
    lines = written.getvalue().splitlines()
    assert any(line.split() == ["transport", "scheduler", "congestion", "load", "1", "load", "2"] for line in lines)
    assert any(line.split() == ["quic", "rr", "bbr", "70.0", "±2.0", "50.0", "±10.0"] for line in lines)
    assert any(line.split() == ["quic", "edf", "bbr", "98.0", "±1.0", "–"] for line in lines)
    assert any(line.split() == ["tcp", "bbr", "60.0", "–"] for line in lines)
    assert any(line.startswith("load 1: ahead or level, in %: quic/edf/bbr 98.0, quic/adaptive/bbr") for line in lines)
    assert any("of 1 QUIC rows: 1 times not ahead of a TLS/TCP row" in line for line in lines)


def test_without_cells_nothing_is_printed() -> None:
    written = io.StringIO()
    print_tables([], Console(file=written))
    assert written.getvalue() == ""
