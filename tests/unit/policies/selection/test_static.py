from __future__ import annotations

from policies.selection.base import Candidate, Request
from policies.selection.static import Static

REQUEST = Request("llm")


def test_it_takes_its_model_wherever_that_stands() -> None:
    policy = Static("medium")
    small, medium = Candidate("small", "a", 0.4), Candidate("medium", "a", 0.6)
    assert policy.choose(REQUEST, [small, medium], now=0.0).candidate == 1
    assert policy.choose(REQUEST, [medium, small], now=0.0).candidate == 0


def test_of_several_instances_it_takes_the_least_loaded() -> None:
    policy = Static("medium")
    candidates = [Candidate("medium", "a", 0.6, running=3), Candidate("medium", "b", 0.6, running=1, waiting=1)]
    assert policy.choose(REQUEST, candidates, now=0.0).candidate == 1


def test_while_its_model_is_away_the_best_other_one_stands_in() -> None:
    policy = Static("medium")
    candidates = [
        Candidate("small", "a", 0.4),
        Candidate("medium", "a", 0.6, ready=False),
        Candidate("large", "b", 0.8),
    ]
    choice = policy.choose(REQUEST, candidates, now=0.0)
    assert choice.candidate == 2
    assert choice.reason == "stands in for medium"


def test_its_model_is_tried_when_nothing_is_ready() -> None:
    candidates = [Candidate("large", "a", 0.8, ready=False), Candidate("medium", "a", 0.6, ready=False)]
    assert Static("medium").choose(REQUEST, candidates, now=0.0).candidate == 1
