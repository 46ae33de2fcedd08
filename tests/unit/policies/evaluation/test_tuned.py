from __future__ import annotations

import math
from pathlib import Path

import pytest

from policies.evaluation.contestant import Contestant
from policies.evaluation.named import workloads
from policies.evaluation.tune import Knobs
from policies.evaluation.tuned import SHIPPED, TunedOn, knobs_for, read_tuned, write_tuned
from policies.simulation.keys import WorkloadError

TABLE = ((4.5, "large"), (math.inf, "small"))
IN_TABLE = """
format: 1
workloads:
  a: {{command: c, seeds: [1], policies: {{model_switching: {{score: 1, knobs: {{table: [{}]}}}}}}}}
"""
FOUND = TunedOn(
    "headway evaluate --tune t.yaml",
    (900, 901),
    {
        "greedy": Knobs({"margin_sigmas": 4.0}, 0.8),
        "slackfit": Knobs({"buckets": 20, "none_fits": "earliest"}, 0.7),
        "model_switching": Knobs({"table": TABLE, "hold_s": 1.0}, 0.6),
    },
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    write_tuned(file, {"mine": FOUND})
    assert read_tuned(file) == {"mine": FOUND}
    knobs = read_tuned(file)["mine"].policies["slackfit"].knobs
    assert isinstance(knobs["buckets"], int)


def test_other_workloads_stay_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    write_tuned(file, {"mine": FOUND})
    newer = TunedOn("again", (7,), {"greedy": Knobs({"margin_sigmas": 0.0}, 0.5)})
    write_tuned(file, {"other": newer})
    assert read_tuned(file) == {"mine": FOUND, "other": newer}
    write_tuned(file, {"mine": newer})
    assert read_tuned(file) == {"mine": newer, "other": newer}


def test_a_table_for_other_models_is_not_used() -> None:
    assert set(knobs_for(FOUND, ["large", "small"])) == {"greedy", "slackfit", "model_switching"}
    assert set(knobs_for(FOUND, ["large", "tiny"])) == {"greedy", "slackfit"}
    assert knobs_for(None, ["large"]) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("format: 2\nworkloads: {}", "format: 2 is not 1"),
        ("workloads: [", "expected"),
        ("format: 1\nworkloads: {a: {seeds: [1], policies: {}}}", "workloads.a.command: missing"),
        ("format: 1\nworkloads: {a: {command: c, seeds: [1], policies: {gredy: {}}}}", "did you mean greedy"),
        (
            "format: 1\nworkloads: {a: {command: c, seeds: [1], policies: {greedy: {score: 1, knobs: {margin: 1}}}}}",
            "greedy.knobs.margin: unknown key",
        ),
        (
            IN_TABLE.format("[1, a]"),
            "table: ascending rates are allowed, the last .inf",
        ),
        (
            IN_TABLE.format("a"),
            "table: 'a' is not",
        ),
    ],
)
def test_a_bad_file_is_refused_by_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "t.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(WorkloadError, match=r"t\.yaml: ") as raised:
        read_tuned(file)
    assert message in str(raised.value)


def test_what_is_shipped_makes_policies_for_shipped_workloads() -> None:
    shipped = {workload.name: workload for workload in workloads(["all", "small"])}
    found = read_tuned(SHIPPED)
    assert set(found) <= set(shipped)
    for name, tuned in found.items():
        models = [candidate.model for candidate in shipped[name].candidates]
        knobs = knobs_for(tuned, models)
        assert set(knobs) == set(tuned.policies)
        for policy in knobs:
            assert Contestant(policy, knobs[policy]).make().name.partition(":")[0] == policy
        assert max(tuned.seeds) < 1000
