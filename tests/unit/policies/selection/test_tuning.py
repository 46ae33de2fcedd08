from __future__ import annotations

from dataclasses import asdict

import pytest

from policies.selection.base import Candidate, Request
from policies.selection.greedy import Greedy
from policies.selection.registry import POLICIES
from policies.selection.tuning import LARGEST_GRID, TUNABLE, PolicyFactory, search, search_in_stages, with_settings

WITHOUT_KNOBS = {"random", "round_robin", "least_loaded", "power_of_two"}


@pytest.mark.parametrize("name", list(TUNABLE))
def test_a_grid_begins_with_the_defaults_and_is_small_enough(name: str) -> None:
    tunable = TUNABLE[name]
    grid = list(tunable.grid())
    defaults = asdict(tunable.settings)
    assert 2 <= len(grid) <= LARGEST_GRID
    assert grid[0] == {knob: defaults[knob] for knob in tunable.knobs}
    assert len({tuple(knobs.items()) for knobs in grid}) == len(grid)


@pytest.mark.parametrize("name", list(TUNABLE))
def test_every_point_of_a_grid_makes_a_policy_of_that_name_that_decides(name: str) -> None:
    candidates = [Candidate("large", "a", 0.8), Candidate("small", "a", 0.4)]
    for knobs in TUNABLE[name].grid():
        policy = TUNABLE[name].factory(knobs)()
        assert policy.name.partition(":")[0] == name
        assert policy.choose(Request("llm"), candidates, now=0.0).candidate is not None


def test_every_policy_is_tuned_that_has_knobs() -> None:
    assert set(POLICIES) - WITHOUT_KNOBS - {"dqn"} == set(TUNABLE) - {"thresholds"}


def test_the_search_finds_the_best_and_shows_the_rest() -> None:
    at_stake = [Candidate("large", "a", 0.8, predicted_finish_at=1.0)]
    made = []

    def score(make: PolicyFactory) -> float:
        policy = make()
        assert policy is not make()
        made.append(policy)
        return float(isinstance(policy, Greedy) and policy.choose(Request("llm"), at_stake, now=0.0).candidate == 0)

    found = search(TUNABLE["greedy"], score)
    assert [tuned.knobs["margin_sigmas"] for tuned in found] == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0]
    assert len(made) == 6
    order = iter([0.1, 0.3, 0.9, 0.3, 0.2, 0.15])
    found = search(TUNABLE["greedy"], lambda make: next(order))
    assert [tuned.knobs["margin_sigmas"] for tuned in found] == [2.0, 1.0, 4.0, 8.0, 16.0, 0.0]
    assert [tuned.score for tuned in found] == [0.9, 0.3, 0.3, 0.2, 0.15, 0.1]


def test_the_second_stage_decides_among_the_best_of_the_first() -> None:
    first = iter([0.1, 0.3, 0.9, 0.4, 0.2, 0.0])
    final = iter([0.5, 0.6, 0.7, 0.6])
    found = search_in_stages(TUNABLE["greedy"], lambda make: next(first), lambda make: next(final))
    assert [(tuned.knobs["margin_sigmas"], tuned.score) for tuned in found] == [
        (1.0, 0.7),
        (4.0, 0.6),
        (8.0, 0.6),
        (2.0, 0.5),
    ]


def test_settings_that_are_given_are_not_varied() -> None:
    table = ((5.0, "large"), (float("inf"), "small"))
    tunable = with_settings("model_switching", table=table)
    assert list(tunable.grid()) == [{"hold_s": 3.0}, {"hold_s": 1.0}, {"hold_s": 10.0}]
    candidates = [Candidate("small", "a", 0.4), Candidate("large", "a", 0.8)]
    assert tunable.factory({"hold_s": 1.0})().choose(Request("llm"), candidates, now=0.0).candidate == 1
    assert set(with_settings("thresholds", low=3.0).knobs) == {"high", "hold_s"}
    with pytest.raises(TypeError, match="nonsense"):
        with_settings("greedy", nonsense=1)
