from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from policies.dqn.ablation import ablate, main, table, variants
from policies.dqn.train import TrainSettings
from policies.dqn.validation import ValidationSettings
from policies.selection.features import GROUPS

TINY = TrainSettings(
    decisions=64,
    environments=4,
    warm_up=16,
    batch=8,
    replay=64,
    validate_every=64,
    validation=ValidationSettings(known_seconds=0.5, drawn=0),
)


def test_each_variant_differs_from_the_settings() -> None:
    made = variants(TINY)
    assert made["as shipped"] == TINY
    assert len({str(settings) for settings in made.values()}) == len(made)
    assert all(set(settings.without) <= set(GROUPS) for settings in made.values())


@pytest.mark.slow
def test_a_variant_is_trained_scored_and_written(tmp_path: Path) -> None:
    results = ablate(replace(TINY, seed=3), tmp_path, seeds=[5], only=["poster"])
    assert list(results) == ["poster"]
    assert 0 < results["poster"]["stable"]["mean"] < 1
    written = json.loads((tmp_path / "ablation.json").read_text())
    assert (written["seed"], written["seeds"], written["results"]) == (3, [5], results)


def test_the_table_is_markdown() -> None:
    scores = {"stable": {"mean": 0.5, "ci95": 0.01}, "unpredictable": {"mean": 0.25, "ci95": 0.0}}
    assert table({"poster": scores}).splitlines() == [
        "| variant | stable | unpredictable |",
        "| --- | --- | --- |",
        "| poster | 0.5000 ± 0.0100 | 0.2500 ± 0.0000 |",
    ]


def test_an_unknown_variant_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--out", "x", "--only", "magic"])
    assert "invalid choice: 'magic'" in capsys.readouterr().err
