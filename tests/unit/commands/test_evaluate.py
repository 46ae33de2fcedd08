from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from proxy.cli import app
from proxy.errors import HeadwayError

RUNNER = CliRunner()


def test_several_workloads_and_policies_after_one_flag(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    done = RUNNER.invoke(
        app,
        [
            *("evaluate", "--workloads", "small-two", "small-flash", "--policies", "greedy", "static:small"),
            *("--seeds", "1", "--no-bound", "--jobs", "1", "--json", str(results)),
        ],
    )
    assert done.exit_code == 0, done.output
    assert "small-two: 1 seed" in done.output
    assert "small-flash: 1 seed" in done.output
    assert results.exists()


def test_help_has_the_committed_command() -> None:
    text = RUNNER.invoke(app, ["evaluate", "--help"], terminal_width=200).output
    assert "headway evaluate --workloads all --policies all --seeds 20 --json results.json" in text


def test_tuning_writes_no_results(tmp_path: Path) -> None:
    done = RUNNER.invoke(app, ["evaluate", "--tune", str(tmp_path / "t.yaml"), "--json", str(tmp_path / "r.json")])
    assert isinstance(done.exception, HeadwayError)
    assert str(done.exception) == "--tune compares nothing, so --json has no effect with it"


def test_tuning_writes_knobs(tmp_path: Path) -> None:
    out = tmp_path / "t.yaml"
    arguments = ["--workloads", "small-two", "--policies", "greedy", "--seeds", "1", "--jobs", "1", "--tune", str(out)]
    done = RUNNER.invoke(app, ["evaluate", *arguments])
    assert done.exit_code == 0, done.output
    assert "margin_sigmas" in out.read_text(encoding="utf-8")


@pytest.mark.parametrize("arguments", [["--seeds", "0"], ["--jobs", "-1"], ["stray"]])
def test_a_wrong_command_line_is_refused(arguments: list[str]) -> None:
    assert RUNNER.invoke(app, ["evaluate", *arguments]).exit_code == 2
