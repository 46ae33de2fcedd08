from __future__ import annotations

import pytest

from policies.evaluation.contestant import BASELINES, Contestant, contestants, expand, known_names
from policies.selection.registry import POLICIES
from policies.selection.tuning import TUNABLE
from tests.unit.policies.simulation.worlds import world

WORLD = world([0.0])


def test_all_is_every_static_every_baseline_and_the_learned_one() -> None:
    names = expand(["all"])
    assert names == ["static", *BASELINES, "dqn"]
    assert set(BASELINES) == (set(POLICIES) - {"dqn"}) | {"thresholds"}
    assert expand(["greedy", "all", "greedy"])[:2] == ["greedy", "static"]
    assert [one.name for one in contestants(["static", "greedy", "static:small"], WORLD, {})] == [
        "static:large",
        "static:small",
        "greedy",
    ]


@pytest.mark.parametrize("name", ["static:large", "thresholds", "thresholds:5,20", "dqn:mine.safetensors", "slackfit"])
def test_names_may_have_arguments(name: str) -> None:
    assert expand([name]) == [name]


@pytest.mark.parametrize("name", ["", "greedyy", "greedy:1", "static:", "thresholds:"])
def test_an_unknown_name_is_refused_naming_the_known_ones(name: str) -> None:
    with pytest.raises(ValueError, match=f"unknown policy '{name}'; known are all, dqn, .*greedy, .*static, static:<m"):
        expand([name])
    assert "thresholds" in known_names()


def test_knobs_go_to_their_policy_alone() -> None:
    tuned = {"greedy": {"margin_sigmas": 4.0}}
    greedy, slackfit = contestants(["greedy", "slackfit"], WORLD, tuned)
    assert (greedy.knobs, greedy.tuned) == ({"margin_sigmas": 4.0}, True)
    assert (slackfit.knobs, slackfit.tuned) == ({}, False)


def test_a_static_model_that_a_workload_lacks_is_left_out() -> None:
    assert [one.name for one in contestants(["static:medium", "static:small"], WORLD, {})] == ["static:small"]


def test_each_policy_made_is_new() -> None:
    for name in (*TUNABLE, "static:large", "thresholds:5,20", "random"):
        contestant = Contestant(name)
        assert contestant.make() is not contestant.make()
        assert contestant.make().name.partition(":")[0] == name.partition(":")[0]


def test_learned_policies_are_known_by_their_name() -> None:
    assert Contestant("dqn").learned
    assert Contestant("dqn:mine.safetensors").learned
    assert not Contestant("greedy").learned
