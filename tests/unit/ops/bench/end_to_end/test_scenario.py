from pathlib import Path

import pytest
import yaml

from ops.bench.end_to_end.scenario import parse_scenario, read_scenario
from ops.bench.network.grid import Row
from ops.bench.scenario import SHIPPED, ScenarioError
from tests.unit.ops.bench.end_to_end.pond import SOURCE, scenario


def test_a_file_becomes_workloads_classes_and_columns() -> None:
    pond = scenario()
    workload = pond.workloads["stable"]
    assert [candidate.model for candidate in workload.candidates] == ["large", "small"]
    fast = pond.classes["fast"]
    assert (fast.deadline_s, fast.token_deadline_s, fast.level, fast.weight) == (0.5, 0.2, "high", 2.0)
    assert pond.classes["slow"].priority == 1
    assert pond.columns == (Row("quic", "edf", "bbr"), Row("quic", "adaptive", "bbr"), Row("tcp", None, "cubic"))
    assert pond.policies == ("static:small", "dqn")


@pytest.mark.parametrize(
    ("over", "what"),
    [
        ({"workloads": {}}, "workloads: a mapping of at least one"),
        ({"workloads": {"wild": {"kind": "stable", "rates": [5]}}}, "workloads.wild: arrivals.hold: missing"),
        ({"cells": {"policy": ["static:huge"]}}, "cells.policy: 'huge' is none of"),
        ({"cells": {"policy": ["clever"]}}, "cells.policy: unknown policy 'clever'"),
        ({"cells": {"policy": "dqn"}}, "cells.policy: 'dqn' is not a list"),
        ({"cells": {"columns": [{"schedular": ["edf"]}]}}, r"cells.columns\[0\].schedular is unknown; did you mean"),
        ({"cells": {"columns": []}}, "cells.columns"),
        ({"trace": "yes"}, "trace: 'yes' is neither"),
        ({"link": {"rate": "quick"}}, "link"),
        ({"classes": {"a": {"deadline": 1.0}}}, "tokens and the classes' answer_tokens go together"),
        (
            {"classes": {"a": {"deadline": 1.0}}, "candidates": [{"model": "m", "quality": 1, "latency": {1: 1}}]},
            "answer_tokens is missing",
        ),
    ],
)
def test_what_is_wrong_is_named(over: dict[str, object], what: str) -> None:
    with pytest.raises(ScenarioError, match=what):
        scenario(**over)


def test_a_null_leaves_a_workload_out(tmp_path: Path) -> None:
    file = tmp_path / "pond.yaml"
    file.write_text(
        yaml.safe_dump({**SOURCE, "quick": {"workloads": {"stable": None, "calm": SOURCE["workloads"]["stable"]}}})
    )
    assert list(read_scenario(file, quick=True).workloads) == ["calm"]
    assert list(read_scenario(file).workloads) == ["stable"]


def test_cells_of_other_rows_and_seeds_may_stand_beside_each_other() -> None:
    assert scenario().fingerprint() == scenario(name="lake", seeds=[3], cells={"policy": ["greedy"]}).fingerprint()
    assert scenario().fingerprint() != scenario(seconds=4).fingerprint()


@pytest.mark.parametrize("name", ["end-to-end", "end-to-end-changes"])
@pytest.mark.parametrize("quick", [False, True])
def test_the_shipped_files_are_valid(name: str, *, quick: bool) -> None:
    shipped = read_scenario(SHIPPED / f"{name}.yaml", quick=quick)
    for kind in shipped.classes.values():
        assert kind.token_deadline_s == kind.deadline_s == (2.3 if kind.name == "bulk" else 1.8)


def test_the_keys_are_those_of_a_mapping() -> None:
    with pytest.raises(ScenarioError, match="seasons is unknown; did you mean seconds"):
        parse_scenario({"seasons": 3}, file=Path("pond.yaml"))
