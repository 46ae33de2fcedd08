from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from policies.profile import Profile
from policies.selection.base import Candidate, Choice, Request
from proxy.daemon.guard import GuardedPolicy, guarded_policy, is_learned, policy_at_start
from proxy.testing.clock import ManualClock

PROFILE = Profile(((1, 0.1),))
CANDIDATES = (Candidate("large", "a", 0.9, profile=PROFILE), Candidate("small", "a", 0.4, profile=PROFILE))


class Learned:
    """Answers what it was told to, after a time on the clock."""

    name = "dqn"

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.takes_s = 0.001
        self.answer: Choice | Exception = Choice(1, "highest Q-value", (0.1, 0.2, -math.inf))
        self.asked = 0

    def choose(self, request: Request, candidates: Sequence[Candidate], *, now: float) -> Choice:
        self.asked += 1
        self.clock.advance(self.takes_s)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def log_data(self) -> dict[str, object]:
        return {"asked": self.asked}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(now=100.0)


@pytest.fixture
def learned(clock: ManualClock) -> Learned:
    return Learned(clock)


@pytest.fixture
def guard(clock: ManualClock, learned: Learned) -> GuardedPolicy:
    return GuardedPolicy("dqn", learned, timer=clock)


def decide(guard: GuardedPolicy, candidates: Sequence[Candidate] = CANDIDATES, now: float = 100.0) -> Choice:
    return guard.choose(Request("llm", deadline_at=200.0), candidates, now=now)


def test_a_policy_that_works_decides(guard: GuardedPolicy, learned: Learned) -> None:
    assert decide(guard) is learned.answer
    assert (guard.statistics().decisions, guard.statistics().fallbacks) == (1, {})
    assert guard.log_data() == {"asked": 1, "fallbacks": {}}
    assert (guard.name, repr(guard)) == ("dqn", "<GuardedPolicy dqn 1 decisions, 0 fallbacks>")


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (ZeroDivisionError("x"), "exception"),
        (Choice(0, "", (math.nan, 0.1, 0.2)), "scores are not numbers"),
        (Choice(0, "", (math.inf, 0.1, 0.2)), "scores are not numbers"),
        (Choice(2, ""), "no such candidate"),
        (Choice(-1, ""), "no such candidate"),
    ],
)
def test_greedy_decides_in_place_of_one_that_fails(
    guard: GuardedPolicy,
    learned: Learned,
    answer: Choice | Exception,
    cause: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    learned.answer = answer
    choice = decide(guard)
    assert (choice.candidate, choice.reason, choice.fallback) == (0, "best in time", cause)
    decide(guard)
    assert guard.statistics().fallbacks == {cause: 2}
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(f"Policy dqn: {cause} (")


def test_after_three_failures_in_a_row_it_rests_and_is_tried_again(guard: GuardedPolicy, learned: Learned) -> None:
    works = learned.answer
    learned.answer = ValueError("x")
    for _ in range(2):
        decide(guard)
    learned.answer = works
    decide(guard)  # not in a row
    learned.answer = ValueError("x")
    for _ in range(3):
        decide(guard)
    learned.answer = works
    assert decide(guard).fallback == "resting"
    assert learned.asked == 6
    assert decide(guard, now=109.9).fallback == "resting"
    assert decide(guard, now=110.0) is works
    assert guard.statistics().fallbacks == {"exception": 5, "resting": 2}


def test_one_slow_decision_stands_and_several_make_it_rest(
    guard: GuardedPolicy, learned: Learned, caplog: pytest.LogCaptureFixture
) -> None:
    learned.takes_s = 0.006
    assert [decide(guard).fallback for _ in range(4)] == ["", "", "", "resting"]
    assert guard.statistics().fallbacks == {"too slow": 3, "resting": 1}
    assert caplog.messages == [
        "Policy dqn: too slow (6.0 ms, and 5 ms are allowed); where it fails, greedy decides",
    ]


def test_a_cause_is_logged_again_after_a_minute(
    guard: GuardedPolicy, learned: Learned, caplog: pytest.LogCaptureFixture
) -> None:
    learned.answer = ValueError("x")
    decide(guard)
    decide(guard, now=159.0)
    assert len(caplog.messages) == 1
    decide(guard, now=160.0)
    assert len(caplog.messages) == 2


def test_without_candidates_the_choice_is_to_shed(guard: GuardedPolicy, learned: Learned) -> None:
    learned.answer = Choice(0, "")
    assert decide(guard, ()).shed


def test_a_policy_that_cannot_be_had_is_named_and_greedy_stands_in(caplog: pytest.LogCaptureFixture) -> None:
    guard = policy_at_start("dqn:/nowhere/x.safetensors")
    assert isinstance(guard, GuardedPolicy)
    assert guard.name == "dqn:/nowhere/x.safetensors"
    assert "Policy dqn:/nowhere/x.safetensors can't be used: " in caplog.messages[0]
    assert decide(guard).fallback == "unusable checkpoint"
    statistics = guard.statistics()
    assert statistics.fallbacks == {"unusable checkpoint": 1}
    assert statistics.unusable
    assert guard.log_data() == {"fallbacks": {"unusable checkpoint": 1}}


def test_an_operator_who_switches_to_one_is_told_instead() -> None:
    with pytest.raises(ValueError, match=r"nowhere|unknown policy"):
        guarded_policy("dqn:/nowhere/x.safetensors")


def test_a_name_that_no_policy_has_is_refused_at_start_too() -> None:
    with pytest.raises(ValueError, match="unknown policy 'best'"):
        policy_at_start("best")


def test_only_learned_policies_have_a_guard() -> None:
    assert is_learned("dqn")
    assert is_learned("dqn:x.safetensors")
    assert not is_learned("greedy")
    assert not isinstance(policy_at_start("greedy"), GuardedPolicy)
