from __future__ import annotations

from dataclasses import replace

from policies.selection.base import Candidate, Request
from policies.selection.heuristics import LeastLoaded, RoundRobin

REQUEST = Request("llm")
SMALL, MEDIUM, LARGE = Candidate("small", "a", 0.4), Candidate("medium", "a", 0.6), Candidate("large", "b", 0.8)


def test_round_robin_serves_in_the_order_of_the_configuration() -> None:
    policy = RoundRobin()
    chosen = [policy.choose(REQUEST, [SMALL, MEDIUM, LARGE], now=0.0).candidate for _ in range(7)]
    assert chosen == [0, 1, 2, 0, 1, 2, 0]
    assert policy.log_data() == {"decisions": 7}


def test_round_robin_passes_over_who_is_away_and_serves_it_first_when_it_is_back() -> None:
    policy = RoundRobin()
    away = [SMALL, replace(MEDIUM, ready=False), LARGE]
    assert [policy.choose(REQUEST, away, now=0.0).candidate for _ in range(4)] == [0, 2, 0, 2]
    assert policy.choose(REQUEST, [SMALL, MEDIUM, LARGE], now=0.0).candidate == 1


def test_round_robin_tells_instances_of_one_model_apart() -> None:
    policy = RoundRobin()
    candidates = [Candidate("small", "a", 0.4), Candidate("small", "b", 0.4)]
    assert [policy.choose(REQUEST, candidates, now=0.0).candidate for _ in range(4)] == [0, 1, 0, 1]


def test_a_second_try_without_the_failed_candidate_keeps_the_turn() -> None:
    policy = RoundRobin()
    assert policy.choose(REQUEST, [SMALL, MEDIUM, LARGE], now=0.0).candidate == 0
    assert policy.choose(REQUEST, [MEDIUM, LARGE], now=0.0).candidate == 0
    assert policy.choose(REQUEST, [SMALL, MEDIUM, LARGE], now=0.0).candidate == 2


def test_least_loaded_counts_running_and_waiting() -> None:
    candidates = [replace(SMALL, running=2), replace(MEDIUM, waiting=1), replace(LARGE, running=1, waiting=1)]
    choice = LeastLoaded().choose(REQUEST, candidates, now=0.0)
    assert choice.candidate == 1
    assert choice.reason == "load 1"


def test_least_loaded_prefers_quality_then_order_on_ties() -> None:
    policy = LeastLoaded()
    assert policy.choose(REQUEST, [SMALL, MEDIUM, LARGE], now=0.0).candidate == 2
    assert policy.choose(REQUEST, [SMALL, replace(SMALL, instance="b")], now=0.0).candidate == 0
    assert policy.log_data() == {}
