"""The scenario's file."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.bench.real_serving.scenario import SHIPPED_SCENARIO, read_scenario
from ops.bench.scenario import ScenarioError


def test_the_shipped_one() -> None:
    scenario = read_scenario(SHIPPED_SCENARIO)
    assert sorted(scenario.workloads) == ["stable", "unpredictable"]
    assert {workload.seconds for workload in scenario.workloads.values()} == {48}
    assert "static:large" in scenario.policies
    quick = read_scenario(SHIPPED_SCENARIO, quick=True, over={"seeds": [7]})
    assert len(quick.workloads) * len(quick.policies) * len(quick.seeds) == 1
    assert quick.seeds == (7,)
    assert quick.fingerprint == scenario.fingerprint


def test_how_it_is_run_is_in_the_fingerprint() -> None:
    assert (
        read_scenario(SHIPPED_SCENARIO).fingerprint != read_scenario(SHIPPED_SCENARIO, over={"settle": 2}).fingerprint
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{workloads: [stable], policies: [none]}", "policies: unknown policy 'none'; known are"),
        ("{workloads: [stable], policies: [dqn:none]}", "policies: .*none"),
        ("{workloads: [stable], policies: ['static:x']}", "policies: 'x' is none of the route's candidates"),
        ("{workloads: [none], policies: [greedy]}", "workloads: none: .*one that ships: class-mix"),
        ("{workloads: [stable, stable.yaml], policies: [greedy]}", "workloads: .*stable.yaml"),
        ("{workloads: stable, policies: [greedy]}", "workloads: 'stable' is not a list of names"),
        ("{workloads: [stable], policies: [greedy], scheduler: none}", "scheduler: 'none' is not a name of"),
        ("{workloads: [stable], policies: [greedy], seed: 1}", "seed is unknown; did you mean seeds?"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(text)
    with pytest.raises(ScenarioError, match=f"{file}: {said}"):
        read_scenario(file)


def test_workloads_are_looked_for_beside_the_file(tmp_path: Path) -> None:
    own = (SHIPPED_SCENARIO.parent / "real-serving-stable.yaml").read_text().replace("name: stable", "name: own")
    (tmp_path / "mine.yaml").write_text(own)
    file = tmp_path / "scenario.yaml"
    file.write_text("{workloads: [mine.yaml, stable], policies: [greedy]}")
    assert list(read_scenario(file).workloads) == ["own", "stable"]
    file.write_text("{workloads: [mine.yaml, mine.yaml], policies: [greedy]}")
    assert list(read_scenario(file).workloads) == ["own"]
    (tmp_path / "other.yaml").write_text(own)
    file.write_text("{workloads: [mine.yaml, other.yaml], policies: [greedy]}")
    with pytest.raises(ScenarioError, match="workloads: two are called own"):
        read_scenario(file)
