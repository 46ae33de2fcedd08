"""`headway train` as a user sees it; `tests/unit/policies/dqn` has what it does."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from policies.dqn.checkpoint import read_checkpoint
from proxy.commands.train import TrainError, train

WORKLOAD = """
name: mine
seconds: 2
arrivals: {kind: stable, rates: [10], hold: 5}
classes: {only: {deadline: 1.0}}
network: {delay: 0.01}
candidates:
  - {model: large, quality: 0.7, latency: {1: 0.2, 4: 0.3}}
  - {model: small, quality: 0.4, latency: {1: 0.02, 4: 0.04}}
"""


@pytest.fixture
def workload(tmp_path: Path) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(WORKLOAD)
    return str(path)


def headway(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(train)
    return CliRunner().invoke(app, arguments)


@pytest.mark.slow
def test_it_goes_on_from_the_shipped_checkpoint_with_one_s_own_traffic(
    workload: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["/bin/headway", "train", "--from", "default"])
    out = tmp_path / "run"
    result = headway("--out", str(out), "--from", "default", "--workload", workload, "--decisions", "32", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["checkpoint"] == str(out / "best.safetensors")
    assert told["validation"]["score"] == pytest.approx((told["validation"]["known"] + told["validation"]["drawn"]) / 2)
    training = read_checkpoint(out / "best.safetensors").training
    assert training["decisions"] == 32
    assert training["command"] == "headway train --from default"


def test_what_does_not_go_together_is_a_usage_error(workload: str, tmp_path: Path) -> None:
    for arguments, says in (
        (("--resume", "--from", "default"), "--resume"),
        (("--workload", workload, "--profile", "x.yaml=0.5"), "--profile"),
        (("--profile", "x.yaml"), "not FILE=QUALITY"),
        (("--profile", "x.yaml=7"), "not FILE=QUALITY"),
    ):
        result = headway("--out", str(tmp_path), *arguments)
        assert result.exit_code == 2
        assert says in result.output


def test_what_can_t_be_used_is_named(tmp_path: Path) -> None:
    for arguments, says in (
        (("--from", "gone.safetensors"), "gone.safetensors: no such file"),
        (("--workload", "gone.yaml"), "gone.yaml"),
        (("--resume",), "nothing to resume"),
    ):
        result = headway("--out", str(tmp_path), *arguments)
        assert isinstance(result.exception, TrainError)
        assert says in str(result.exception)
