from __future__ import annotations

from dataclasses import replace

import pytest

from policies.selection.base import Candidate, Request
from policies.selection.finish_time import EarliestFinish, HeadroomSettings, LatestFinish, LeastPositiveHeadroom

FAST = Candidate("fast", "a", 0.8, predicted_finish_at=10.2)
MIDDLE = Candidate("middle", "a", 0.4, predicted_finish_at=10.5)
SLOW = Candidate("slow", "b", 0.6, predicted_finish_at=11.0)
ALL = [MIDDLE, FAST, SLOW]


class Scripted:
    def __init__(self, *numbers: float) -> None:
        self._numbers = list(numbers)

    def random(self) -> float:
        return self._numbers.pop(0)


@pytest.mark.parametrize(
    ("deadline_at", "latest", "earliest"), [(12.0, 2, 1), (10.7, 0, 1), (10.3, 1, 1), (10.1, None, None)]
)
def test_last_and_first_of_those_in_time(deadline_at: float, latest: int | None, earliest: int | None) -> None:
    request = Request("llm", deadline_at=deadline_at)
    assert LatestFinish().choose(request, ALL, now=10.0).candidate == latest
    assert EarliestFinish().choose(request, ALL, now=10.0).candidate == earliest


def test_equal_times_go_to_quality() -> None:
    worse = replace(FAST, quality=0.1)
    for policy in (LatestFinish(), EarliestFinish(), LeastPositiveHeadroom()):
        assert policy.choose(Request("llm"), [worse, FAST], now=10.0).candidate == 1


@pytest.mark.parametrize(("draw", "chosen", "explored"), [(0.5, 0, 0), (0.01, 0, 0), (0.0099, 2, 1)])
def test_headroom_is_least_but_positive_and_one_in_a_hundred_is_late(draw: float, chosen: int, explored: int) -> None:
    policy = LeastPositiveHeadroom(draws=Scripted(draw))
    assert policy.choose(Request("llm", deadline_at=10.7), ALL, now=10.0).candidate == chosen
    assert policy.log_data() == {"explored": explored}


def test_headroom_with_all_late_is_the_greatest_and_draws_nothing() -> None:
    policy = LeastPositiveHeadroom(draws=Scripted())
    choice = policy.choose(Request("llm", deadline_at=10.1), ALL, now=10.0)
    assert (choice.candidate, choice.reason) == (1, "none in time, most headroom")


def test_exploration_is_a_knob() -> None:
    always = LeastPositiveHeadroom(HeadroomSettings(exploration=1.0))
    request = Request("llm", deadline_at=10.7)
    assert [always.choose(request, ALL, now=10.0).candidate for _ in range(5)] == [2] * 5
