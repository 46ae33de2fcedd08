import io
from typing import Any

from rich.console import Console

from ops.bench.table import figure, print_tables, print_verdicts, size


def row(peer: str, *, hops: float | None = None, rate_to_envoy: float | None = None, errors: int = 0) -> dict[str, Any]:
    values = {"p50_s": 0.002, "p99_s": 0.004, "calls_per_s": 500.0, "cpu_s_per_call": 0.001, "errors": float(errors)}
    if hops is not None:
        values |= {"added_p50_s": 0.001, "added_hops": hops}
    if rate_to_envoy is not None:
        values["rate_to_envoy-h3"] = rate_to_envoy
    low = {name: value / 2 for name, value in values.items()}
    return {
        "peer": peer,
        "idle_streams": 0,
        "body_bytes": 128,
        "callers": 1,
        "rounds": 3,
        "median": values,
        "low": low,
        "high": values,
    }


def shown(*rows: dict[str, Any]) -> str:
    console = Console(width=120, record=True, file=io.StringIO())
    print_tables(rows, console)
    print_verdicts(rows, console)
    return console.export_text()


def test_a_figure_has_its_extremes() -> None:
    assert figure(row("hop"), "p50_s", 1e3, 1) == "2.0 (1.0 to 2.0)"
    assert figure(row("hop"), "p50_s", 1e3, 1, extremes=False) == "2.0"
    assert figure(row("hop"), "added_hops", 1, 2) == "–"


def test_sizes_read_as_people_say_them() -> None:
    assert [size(128), size(8192), size(102400)] == ["128 B", "8 KiB", "100 KiB"]


def test_headway_is_compared_with_the_hop_and_the_envoys() -> None:
    text = shown(row("direct"), row("envoy-h3"), row("headway-quic", hops=2.4, rate_to_envoy=1.5))
    assert "headway-quic at 128 B, 1 callers: adds 2.40 (1.20 to 2.40) bare hops to p50" in text
    assert "1.50 (0.75 to 1.50) × the calls per" in text
    assert "direct at" not in text


def test_failed_calls_show() -> None:
    assert "hop (3 failed)" in shown(row("hop", errors=3))
