from __future__ import annotations

import pytest

from policies.selection.registry import make_policy, policy_names, require_candidate


def test_known_names() -> None:
    assert policy_names() == (
        "dqn",
        "dqn:<checkpoint>",
        "earliest_finish",
        "greedy",
        "greedy_earliest",
        "infaas",
        "late",
        "latest_finish",
        "least_loaded",
        "least_positive_headroom",
        "model_switching",
        "power_of_two",
        "proteus_lite",
        "random",
        "round_robin",
        "slackfit",
        "static:<model>",
        "thresholds:<low,high>",
    )


def test_each_call_makes_a_policy_of_its_own() -> None:
    assert make_policy("round_robin") is not make_policy("round_robin")


def test_static_keeps_colons_in_the_model_name() -> None:
    assert make_policy("static:team:llm").log_data() == {"model": "team:llm"}


@pytest.mark.parametrize("spec", ["", "static", "static:", "round_robin:x", "roundrobin", "dqnx", ":x"])
def test_an_unknown_name_is_refused_naming_the_known_ones(spec: str) -> None:
    with pytest.raises(
        ValueError,
        match=r"known are dqn, dqn:<checkpoint>, .*, round_robin, slackfit, static:<model>, thresholds:<low,high>$",
    ):
        make_policy(spec)


def test_a_policy_for_one_model_needs_it_among_the_candidates() -> None:
    require_candidate("static:team:llm", {"team:llm", "other"})
    require_candidate("round_robin", ())
    with pytest.raises(ValueError, match=r"'llm' is none of the route's candidates; known are static:a, static:b"):
        require_candidate("static:llm", {"b", "a"})
