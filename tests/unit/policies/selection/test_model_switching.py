from __future__ import annotations

import math
from dataclasses import replace

import pytest

from policies.profile import Profile
from policies.selection.base import Arrivals, Candidate, Policy, Request
from policies.selection.model_switching import (
    Hysteresis,
    ModelSwitching,
    SwitchingSettings,
    ThresholdSettings,
    ThresholdSwitching,
    switching_table,
    thresholds,
)

LARGE = Candidate("large", "a", 0.8, profile=Profile(((1, 0.5), (4, 0.8))))  # 5 requests/s
MEDIUM = Candidate("medium", "a", 0.6, profile=Profile(((1, 0.1), (2, 0.1))))  # 20 requests/s
SMALL = Candidate("small", "b", 0.4, profile=Profile(((1, 0.01),)))  # 100 requests/s
ALL = [SMALL, LARGE, MEDIUM]
TABLE = ((4.0, "large"), (16.0, "medium"), (math.inf, "small"))


def chosen(policy: Policy, rate: float, *, now: float, candidates: list[Candidate] = ALL) -> str:
    request = Request("llm", arrivals=Arrivals(rate, 0.0))
    position = policy.choose(request, candidates, now=now).candidate
    assert position is not None
    return candidates[position].name


def test_down_at_once_and_up_after_the_hold() -> None:
    policy = ModelSwitching(SwitchingSettings(table=TABLE))
    history = [(0.0, 4.0), (1.0, 4.1), (2.0, 50.0), (3.0, 1.0), (5.9, 1.0), (6.0, 1.0)]
    assert [chosen(policy, rate, now=now) for now, rate in history] == [
        "large",
        "medium",
        "small",
        "small",
        "small",
        "large",
    ]
    assert policy.log_data() == {"model": "large"}


def test_the_hold_starts_anew_when_the_rate_comes_back() -> None:
    hysteresis = Hysteresis(3.0)
    steps = [(0.0, 2), (1.0, 0), (3.0, 2), (4.0, 1), (6.9, 0), (7.0, 1), (7.1, 0), (10.1, 0)]
    assert [hysteresis.step(wanted, now=now) for now, wanted in steps] == [2, 2, 2, 2, 2, 1, 1, 0]


def test_without_a_table_each_model_is_used_up_to_its_share_of_the_peak() -> None:
    settings = SwitchingSettings(utilisation=0.8)
    rates = {4.0: "large", 4.1: "medium", 16.0: "medium", 16.1: "small", 1000.0: "small"}
    assert {rate: chosen(ModelSwitching(settings), rate, now=0.0) for rate in rates} == rates
    slower = replace(MEDIUM, profile=Profile(((1, 0.5),)))  # less than large answers: never used
    assert chosen(ModelSwitching(settings), 4.1, now=0.0, candidates=[LARGE, slower, SMALL]) == "small"


def test_while_its_model_is_away_the_next_one_down_stands_in_and_then_the_one_above() -> None:
    policy = ModelSwitching(SwitchingSettings(table=TABLE))
    assert chosen(policy, 1.0, now=0.0, candidates=[SMALL, replace(LARGE, ready=False), MEDIUM]) == "medium"
    assert chosen(policy, 99.0, now=1.0, candidates=[replace(SMALL, ready=False), LARGE, MEDIUM]) == "medium"
    assert chosen(policy, 99.0, now=1.0, candidates=[Candidate("other", "a", 0.1)]) == "other"


def test_of_the_same_model_on_two_tritons_the_less_loaded() -> None:
    policy = ModelSwitching(SwitchingSettings(table=TABLE))
    pair = [replace(LARGE, running=2), replace(LARGE, instance="b", running=1)]
    assert policy.choose(Request("llm", arrivals=Arrivals(1.0, 1.0)), pair, now=0.0).candidate == 1


def test_the_rate_is_measured_where_nobody_does() -> None:
    policy = ModelSwitching(SwitchingSettings(table=TABLE))
    for n in range(200):
        policy.choose(Request("llm"), ALL, now=n / 100)
    assert policy.log_data() == {"model": "small"}


def test_two_thresholds_make_three_levels() -> None:
    rates = {10.0: "large", 10.1: "medium", 40.0: "medium", 40.1: "small"}
    assert {rate: chosen(ThresholdSwitching(), rate, now=0.0) for rate in rates} == rates
    assert chosen(ThresholdSwitching(), 20.0, now=0.0, candidates=[LARGE, SMALL]) == "small"
    assert chosen(ThresholdSwitching(), 99.0, now=0.0, candidates=[LARGE]) == "large"


def test_thresholds_have_the_hysteresis() -> None:
    policy = ThresholdSwitching(ThresholdSettings(10.0, 40.0, hold_s=2.0))
    assert [chosen(policy, rate, now=now) for now, rate in ((0, 50.0), (1, 5.0), (2, 5.0), (3, 5.0))] == [
        "small",
        "small",
        "small",
        "large",
    ]
    assert policy.log_data() == {"level": 0}


@pytest.mark.parametrize("argument", ["", "10", "10,", ",40", "ten,40", "40,10", "-1,40", "10,inf", "10,nan", "1,2,3"])
def test_thresholds_that_are_not_two_ascending_rates_are_refused(argument: str) -> None:
    with pytest.raises(ValueError, match=f"thresholds:{argument} must have two"):
        thresholds(argument)


def test_thresholds_go_by_their_name() -> None:
    assert thresholds("2.5,40").name == "thresholds:2.5,40"


def test_a_table_is_made_of_the_best_at_each_rate() -> None:
    scores = {
        40.0: {"large": 0.1, "medium": 0.2, "small": 0.4},
        5.0: {"large": 0.7, "medium": 0.6, "small": 0.4},
        10.0: {"large": 0.3, "medium": 0.6, "small": 0.4},
        20.0: {"large": 0.2, "medium": 0.4, "small": 0.4},
    }
    assert switching_table(scores) == ((7.5, "large"), (30.0, "medium"), (math.inf, "small"))
    assert switching_table({5.0: {"large": 0.7}}) == ((math.inf, "large"),)


@pytest.mark.parametrize("scores", [{}, {5.0: {}}])
def test_a_table_of_nothing_is_refused(scores: dict[float, dict[str, float]]) -> None:
    with pytest.raises(ValueError, match="at least one rate"):
        switching_table(scores)
