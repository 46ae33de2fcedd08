from __future__ import annotations

from dataclasses import replace

from policies.profile import Profile, TokenProfile
from policies.selection.base import Candidate, Request
from policies.selection.infaas import Infaas, InfaasSettings

LARGE = Candidate("large", "a", 1.0, profile=Profile(((1, 0.2),)))  # 5 requests/s
MEDIUM = Candidate("medium", "a", 0.9, profile=Profile(((1, 0.1),)))  # 10 requests/s
SMALL = Candidate("small", "b", 0.5, profile=Profile(((1, 0.05),)))  # 20 requests/s
ALL = [SMALL, LARGE, MEDIUM]


def test_the_least_loaded_of_those_good_enough() -> None:
    policy = Infaas()
    choice = policy.choose(Request("llm"), [SMALL, replace(LARGE, running=2), replace(MEDIUM, running=3)], now=0.0)
    assert (choice.candidate, choice.reason) == (2, "load 0.30")
    assert policy.choose(Request("llm"), ALL, now=0.0).candidate == 1
    assert policy.log_data() == {"degraded": 0}


def test_with_those_full_the_closest_in_quality_with_room_that_is_in_time() -> None:
    policy = Infaas(InfaasSettings(required_quality=0.95))
    tiny = Candidate("tiny", "b", 0.4, profile=Profile(((1, 0.05),)))
    full = replace(LARGE, running=5)
    request = Request("llm", deadline_at=0.3)
    assert policy.choose(request, [tiny, SMALL, full, MEDIUM], now=0.0).candidate == 3
    late = replace(MEDIUM, running=5)  # has room, and would answer after 0.55 s
    assert policy.choose(request, [tiny, SMALL, full, late], now=0.0).candidate == 1
    assert policy.choose(request, [full, late], now=0.0).shed
    assert policy.log_data() == {"degraded": 2}


def test_a_class_may_ask_for_another_quality() -> None:
    policy = Infaas(InfaasSettings(required_quality=1.0, class_quality=(("bulk", 0.0),)))
    busy = [replace(SMALL, running=1), replace(LARGE, running=1)]
    assert policy.choose(Request("llm", "realtime"), busy, now=0.0).candidate == 1
    assert policy.choose(Request("llm", "bulk"), busy, now=0.0).candidate == 0


def test_token_streams_have_room_for_as_many_as_run_at_once() -> None:
    tokens = TokenProfile(0.001, 0.02, ((1, 0.02), (8, 0.02)), max_sequences=8)
    streams = Candidate("streams", "a", 1.0, running=6, profile=Profile(((1, 2.0),), tokens=tokens))  # 4 requests/s
    policy = Infaas(InfaasSettings(window_s=2.0))
    assert policy.choose(Request("llm"), [SMALL, streams], now=0.0).reason == "load 0.75"


def test_the_window_says_when_a_candidate_is_full() -> None:
    candidates = [SMALL, replace(LARGE, running=1)]
    request = Request("llm", deadline_at=1.0)
    assert Infaas(InfaasSettings(window_s=0.3)).choose(request, candidates, now=0.0).candidate == 1
    assert Infaas(InfaasSettings(window_s=0.2)).choose(request, candidates, now=0.0).candidate == 0
