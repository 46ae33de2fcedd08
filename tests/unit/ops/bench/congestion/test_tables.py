import io
from typing import Any

from rich.console import Console

from ops.bench.congestion.grid import Cell
from ops.bench.congestion.scenario import Flow
from ops.bench.congestion.tables import figure, print_tables


def entry(
    part: str, flows: str, mean: dict[str, Any], *, event: str | None = None, loss: float = 0.0
) -> dict[str, Any]:
    parsed = tuple(Flow.parse(text) for text in flows.split(" + "))
    keys = Cell(part, parsed, 5e6, loss, 1.0, "up", event, 0).as_json()
    return {**keys, "seeds": 2, "mean": mean, "ci95": {}}


def printed(*summary: dict[str, Any]) -> list[str]:
    written = io.StringIO()
    print_tables(summary, Console(file=written, width=120))
    return written.getvalue().splitlines()


def test_a_figure_with_its_interval() -> None:
    one = {"mean": {"idle": {"p50_s": 0.13}, "none": None}, "ci95": {"idle": {"p50_s": 0.01}}}
    assert figure(one, "idle.p50_s", 1000, 0) == "130 ±10"
    assert figure({**one, "ci95": {}}, "idle.p50_s", 1000, 0) == "130"
    assert [figure(one, path) for path in ("none", "other", "idle.p50_s.deeper")] == ["–", "–", "–"]


def test_columns_that_differ_in_nothing_are_left_out() -> None:
    lines = printed(
        entry("goodput", "quic/bbr", {"goodput_share": 0.93, "queueing_settled_mean_s": 0.0201}),
        entry("goodput", "tcp/cubic", {"goodput_share": 0.4}, loss=0.02),
    )
    (heading,) = (line for line in lines if "flows" in line)
    assert "loss %" in heading
    assert "Mbit/s" not in heading
    (bbr,) = (line for line in lines if "quic/edf/bbr" in line)
    assert bbr.split() == ["quic/edf/bbr", "0", "93.0", "–", "–", "20", "–", "–"]


def test_a_table_for_each_part_that_there_is() -> None:
    lines = printed(
        entry("fairness", "quic/bbr + kernel/cubic", {"first_share": 0.5, "jain": 0.99}),
        entry("realtime", "quic/bbr", {"p99_ratio": 1.25}, event="none"),
    )
    assert sum("Real-time requests" in line for line in lines) == 1
    assert sum("Two flows" in line for line in lines) == 1
    assert any("quic/edf/bbr + kernel/cubic" in line and "0.990" in line for line in lines)
    assert printed() == []


def test_each_change_has_a_line() -> None:
    after = {"10 s": {"goodput_share": 0.9, "recovered_s": 0.0}, "20 s": {"goodput_share": 0.8, "recovered_s": 2.5}}
    lines = printed(entry("changes", "quic/bbr", {"share_before": 0.95, "after": after}, event="rate halves"))
    first, second = (line.split() for line in lines if "at " in line and " s " in line and "goodput in" not in line)
    assert first == ["rate", "halves", "quic/edf/bbr", "95.0", "at", "10", "s", "90.0", "0.0", "–"]
    assert second == ["at", "20", "s", "80.0", "2.5", "–"]
