from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from policies.evaluation.contestant import LEARNED
from policies.evaluation.tune import Knobs
from policies.evaluation.tuned import TunedOn, read_tuned, write_tuned
from proxy.commands.comparison import Evaluation, compare, tune_baselines, why_unusable
from proxy.errors import HeadwayError

WORKLOAD = """
name: {name}
seconds: 3
arrivals: {{kind: stable, rates: [6], hold: 3}}
classes: {{realtime: {{deadline: 1.0, weight: 2}}, bulk: {{deadline: 2.0}}}}
network: {{delay: 0.05}}
candidates:
  - {{model: large, quality: 0.8, latency: {{1: 0.5, 2: 0.6}}}}
  - {{model: small, quality: 0.4, latency: {{1: 0.1, 4: 0.2}}}}
"""


@pytest.fixture
def asked(tmp_path: Path) -> Evaluation:
    """Two seeds of a small workload, greedy and the static models, in this process."""
    file = tmp_path / "mine.yaml"
    file.write_text(WORKLOAD.format(name="mine"), encoding="utf-8")
    return Evaluation(
        workloads=[str(file)],
        policies=["greedy", "static"],
        seeds=2,
        processes=1,
        bound=False,
        json_file=tmp_path / "results.json",
        command="headway evaluate …",
    )


@pytest.fixture
def console() -> Console:
    return Console(file=StringIO(), width=100)


def printed(console: Console) -> str:
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_a_comparison_is_shown_and_written(asked: Evaluation, console: Console) -> None:
    compare(asked, console)
    text = printed(console)
    assert "mine: 2 seeds" in text
    assert "note: mine: greedy have default knobs; --tune FILE finds better ones" in text
    assert f"results: {asked.json_file}" in text
    assert asked.json_file is not None
    content = json.loads(asked.json_file.read_text(encoding="utf-8"))
    assert (content["experiment"], content["command"]) == ("serving", "headway evaluate …")
    assert [(entry["policy"], entry["seed"]) for entry in content["cells"]] == [
        ("greedy", 1000),
        ("greedy", 1001),
        ("static:large", 1000),
        ("static:large", 1001),
        ("static:small", 1000),
        ("static:small", 1001),
    ]
    assert content["cells"][0]["metrics"]["bound"] is None


def test_the_bound_is_above_every_score(asked: Evaluation, console: Console) -> None:
    compare(replace(asked, bound=True, seeds=1), console)
    assert asked.json_file is not None
    cells = json.loads(asked.json_file.read_text(encoding="utf-8"))["cells"]
    assert all(cell["metrics"]["score"] <= cell["metrics"]["bound"] + 1e-6 for cell in cells)
    assert all(0 < cell["metrics"]["bound_share"] <= 1 for cell in cells)


@pytest.mark.slow
def test_plots_are_drawn_where_they_are_asked_for(asked: Evaluation, console: Console, tmp_path: Path) -> None:
    compare(replace(asked, seeds=1, policies=["static:small"], plots=tmp_path / "plots"), console)
    files = list((tmp_path / "plots").iterdir())
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)
    assert {file.name for file in files} == {
        "mine-score.png",
        "mine-on-time.png",
        "mine-mix.png",
    }


def test_tuned_knobs_are_written_kept_and_used(asked: Evaluation, console: Console, tmp_path: Path) -> None:
    out = tmp_path / "tuned.yaml"
    tune_baselines(replace(asked, seeds=1), out, console)
    tune_baselines(replace(asked, seeds=1, policies=["earliest_finish"]), out, console)
    found = read_tuned(out)["mine"]
    assert (list(found.policies), found.seeds) == (["greedy", "earliest_finish"], (900,))
    compare(replace(asked, tuned=out), console)
    assert asked.json_file is not None
    content = json.loads(asked.json_file.read_text(encoding="utf-8"))
    assert content["tuned"] == {"file": "tuned.yaml", "seeds": {"mine": [900]}}
    assert content["summary"][0]["knobs"] == found.policies["greedy"].knobs
    assert "knobs, tuned on this workload: greedy: margin_sigmas" in printed(console)


def test_a_comparison_on_the_seeds_that_were_tuned_on_says_so(
    asked: Evaluation, console: Console, tmp_path: Path
) -> None:
    out = tmp_path / "tuned.yaml"
    write_tuned(out, {"mine": TunedOn("c", (900,), {"greedy": Knobs({"margin_sigmas": 1.0}, 0.5)})})
    compare(replace(asked, tuned=out, first_seed=899), console)
    assert "note: mine: knobs were tuned on the seeds 900, of this comparison" in printed(console)


def test_a_learned_policy_that_cannot_be_used_is_an_error_only_if_it_was_named(
    asked: Evaluation, console: Console
) -> None:
    gone = f"{LEARNED}:gone.safetensors"
    why = why_unusable(gone)
    assert "gone.safetensors" in why
    with pytest.raises(HeadwayError, match=r"policy dqn:gone\.safetensors can't be used: .*gone"):
        compare(replace(asked, policies=[gone]), console)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"policies": ["gredy"]}, "unknown policy 'gredy'; known are all, dqn"),
        ({"policies": ["static:medium"]}, "policy static:medium: no workload has that model; known are large, small"),
        ({"workloads": ["gone.yaml"]}, "gone.yaml: neither a file nor a shipped workload"),
        ({"tuned": Path("gone.yaml")}, "gone.yaml: .*No such file"),
        ({"json_file": Path("gone/results.json")}, "gone/results.json: there is no directory gone"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(
    asked: Evaluation, console: Console, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(HeadwayError, match=message):
        compare(replace(asked, **changes), console)  # type: ignore[arg-type]


def test_only_what_has_knobs_is_tuned(asked: Evaluation, console: Console, tmp_path: Path) -> None:
    with pytest.raises(HeadwayError, match="none of random has knobs; those have: greedy, "):
        tune_baselines(replace(asked, policies=["random"]), tmp_path / "t.yaml", console)
    (tmp_path / "bad.yaml").write_text("format: 9", encoding="utf-8")
    with pytest.raises(HeadwayError, match=r"bad\.yaml: format: 9 is not 1"):
        tune_baselines(asked, tmp_path / "bad.yaml", console)
