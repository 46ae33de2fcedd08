from __future__ import annotations

import json
import math

from policies.evaluation.document import as_json, document
from tests.unit.policies.evaluation.cells import WORKLOADS, cell, comparison


def test_the_file_is_in_the_experiments_format() -> None:
    about = {"command": "headway evaluate", "commit": "abc", "machine": {"cpu": "x", "cores": 2}}
    content = document(comparison(), WORKLOADS, about=about, notes={"tuned": {"file": "t.yaml"}})
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert json.loads(as_json(content)) == content
    assert list(content)[:5] == ["experiment", "format", "command", "commit", "machine"]
    assert (content["experiment"], content["format"], content["tuned"]) == ("serving", 1, {"file": "t.yaml"})
    first = content["cells"][0]
    assert {key: first[key] for key in ("transport", "scheduler", "congestion_control", "load")} == {
        "transport": None,
        "scheduler": None,
        "congestion_control": None,
        "load": None,
    }
    assert (first["policy"], first["workload"], first["seed"]) == ("static:small", "one", 1)
    assert first["metrics"]["score"] == 0.5
    assert {"policy", "workload", "load", "seeds", "mean", "ci95"} <= set(content["summary"][0])


def test_workloads_are_told_whole() -> None:
    content = document(comparison(), WORKLOADS, about={}, notes={})
    one = content["scenario"]["workloads"]["one"]
    assert [candidate["model"] for candidate in one["candidates"]] == ["large", "small"]
    assert one["candidates"][0]["profile"]["latency_s"] == [[1, 0.5], [2, 0.6]]
    assert not [key for key in one["candidates"][0]["profile"] if key.startswith("_")]


def test_the_mix_over_time_is_of_the_first_seed() -> None:
    cells = document(comparison(), WORKLOADS, about={}, notes={})["cells"]
    assert {entry["seed"] for entry in cells if "mix" in entry} == {1}
    assert sum("mix" in entry for entry in cells) == 6
    assert cells[0]["mix"]["at_s"] == [0.0, 50.0]
    assert cells[0]["mix"]["rate"] == [2.0, 4.0]
    assert cells[0]["mix"]["share"]["small"] == [0.0, 0.5]


def test_infinity_becomes_none_and_digits_end() -> None:
    odd = cell("one", "greedy", 1, 1 / 3)
    odd.contestant.knobs["table"] = ((4.0, "large"), (math.inf, "small"))  # type: ignore[index]
    content = document([odd], WORKLOADS[:1], about={}, notes={})
    assert content["summary"][0]["knobs"]["table"] == [[4.0, "large"], [None, "small"]]
    assert content["cells"][0]["metrics"]["score"] == 0.33333
