import argparse
import io
from dataclasses import asdict

import pytest
from rich.console import Console

from ops.bench import __main__ as dispatcher
from ops.bench.figures import Measurement
from ops.bench.scenario import ScenarioError
from ops.bench.tracing import WAYS, TracingScenario, scenario_of, spans_in, summarise, table


def arguments(*options: str) -> argparse.Namespace:
    return dispatcher.parser().parse_args(["tracing", *options])


def test_what_the_options_ask_for() -> None:
    assert scenario_of(arguments()) == TracingScenario()
    assert scenario_of(arguments("--quick")).rounds == 5
    asked = scenario_of(arguments("--ways", "hung,file", "--callers", "1,16", "--rounds", "3"))
    assert (asked.ways, asked.callers, asked.rounds) == (("off", "hung", "file"), (1, 16), 3)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--ways", "zipkin"), f"--ways: zipkin unknown; allowed: {', '.join(WAYS)}"),
        (("--callers", "0"), "--callers: '0' is no list of whole numbers, each at least 1"),
        (("--scenario", "x.yaml"), "tracing has no scenario file; its options say what is measured"),
    ],
)
def test_what_makes_no_sense_is_told(options: tuple[str, ...], text: str) -> None:
    with pytest.raises(ScenarioError) as raised:
        scenario_of(arguments(*options))
    assert str(raised.value) == text


def cell(way: str, number: int, calls_per_s: float) -> dict[str, object]:
    measured = Measurement(10, 0, "", calls_per_s, 0.001, 0.002, 0.004, 0.0005)
    return {"way": way, "callers": 16, "round": number, "metrics": asdict(measured)}


def test_a_way_is_compared_with_no_tracing_in_the_same_round() -> None:
    scenario = TracingScenario(ways=("off", "hung"))
    rates = ((100.0, 90.0), (1000.0, 950.0), (10.0, 8.0))
    cells = [cell(way, n, rate) for n, pair in enumerate(rates) for way, rate in zip(scenario.ways, pair, strict=True)]
    spans = {
        "off": dict.fromkeys(("exported", "failed", "dropped"), 0),
        "hung": {"exported": 1, "failed": 2, "dropped": 3},
    }
    rows = summarise(cells, scenario, spans)
    assert [row["rate_to_off"]["median"] for row in rows] == [1.0, 0.9]
    assert rows[1]["rate_to_off"]["low"] == pytest.approx(0.85)
    shown = io.StringIO()
    Console(file=shown, width=120).print(table(rows, 16))
    line = next(line for line in shown.getvalue().splitlines() if line.strip().startswith("hung"))
    assert line.split() == [
        *("hung", "90", "0.90", "(0.9-0.9)", "500", "1.00", "(1.0-1.0)", "500"),
        *("2.00", "1.00", "4.0", "1.00", "(1.0-1.0)", "1", "5"),
    ]


def test_spans_of_a_metrics_page() -> None:
    page = '# HELP x\nheadway_spans_total{outcome="exported"} 7.0\nheadway_spans_total{outcome="dropped"} 2\nup 1\n'
    assert spans_in(page) == {"exported": 7, "dropped": 2}
