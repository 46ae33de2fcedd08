import argparse
import json
import sys
from pathlib import Path

import psutil
import pytest

from ops.bench import __main__ as dispatcher
from ops.bench.figures import Measurement
from ops.bench.overhead import Cell, Found


def measured(calls_per_s: float) -> Measurement:
    return Measurement(
        calls=10,
        errors=0,
        first_error="",
        calls_per_s=calls_per_s,
        mean_s=1.0,
        p50_s=1.0,
        p99_s=1.0,
        cpu_s_per_call=0.5,
    )


def test_results_have_a_cell_a_measurement_and_a_summary_over_the_rounds() -> None:
    found = Found()
    found.rounds[Cell(0, 128, 16)] = [{"hop": measured(10.0), "direct": measured(20.0)}, {"direct": measured(40.0)}]
    cells = list(found.cells())
    assert [(cell["peer"], cell["round"], cell["metrics"]["calls_per_s"]) for cell in cells] == [
        ("hop", 1, 10.0),
        ("direct", 1, 20.0),
        ("direct", 2, 40.0),
    ]
    summary = list(found.summary(["direct", "hop", "envoy-h3"]))
    assert [(row["peer"], row["rounds"], row["body_bytes"], row["callers"]) for row in summary] == [
        ("direct", 2, 128, 16),
        ("hop", 1, 128, 16),
    ]
    assert [row["median"]["calls_per_s"] for row in summary] == [30.0, 10.0]
    assert summary[1]["median"]["rate_to_direct"] == 0.5
    assert summary[1]["ci95"]["calls_per_s"] is None


def test_lists_on_the_command_line() -> None:
    arguments = dispatcher.parser().parse_args(["overhead", "--peers", "direct,hop", "--bodies", "1,2", "--profile"])
    assert (arguments.peers, arguments.bodies, arguments.profile) == (["direct", "hop"], [1, 2], "samples")


@pytest.mark.parametrize("line", [["overhead", "--bodies", "x"], ["nothing"], [], ["overhead", "--profile", "deep"]])
def test_a_wrong_command_line_is_a_usage_error(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        dispatcher.parser().parse_args(line)
    assert caught.value.code == 2
    capsys.readouterr()


def test_an_unknown_path_is_a_usage_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "overhead", "--peers", "direct,warp"])
    assert dispatcher.main() == 2
    assert "peers: warp unknown; allowed: direct, hop, envoy-h3" in capsys.readouterr().err


@pytest.mark.slow
def test_a_small_run_from_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario = tmp_path / "small.yaml"
    scenario.write_text(
        "{peers: [direct, hop], bodies: [64], concurrency: [2], seconds: 0.1, warm_up: 0.02, rounds: 2,"
        " idle_streams: [0, 3]}"
    )
    out = tmp_path / "out"
    others = set(psutil.Process().children())  # of other tests, such as a Triton that many share
    monkeypatch.setattr(sys, "argv", ["bench", "overhead", "--scenario", str(scenario), "--out", str(out)])
    assert dispatcher.main() == 0
    content = json.loads((out / "results.json").read_text())
    assert content["unavailable"] == {}
    assert [(row["peer"], row["rounds"], row["idle_streams"]) for row in content["summary"]] == [
        ("direct", 2, 0),
        ("hop", 2, 0),
        ("direct", 2, 3),
        ("hop", 2, 3),
    ]
    assert all(cell["metrics"]["calls"] > 0 and not cell["metrics"]["errors"] for cell in content["cells"])
    assert "Latency in ms" in capsys.readouterr().out
    assert set(psutil.Process().children()) <= others


def test_every_experiment_takes_the_shared_options() -> None:
    for name in dispatcher.EXPERIMENTS:
        arguments = dispatcher.parser().parse_args([name, "--scenario", "a", "--out", "b", "--quick"])
        assert isinstance(arguments, argparse.Namespace)
        assert (arguments.scenario, arguments.out, arguments.quick) == (Path("a"), Path("b"), True)
