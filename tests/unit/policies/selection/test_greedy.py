from __future__ import annotations

from dataclasses import replace

import pytest

from policies.profile import Profile
from policies.selection.base import Candidate, Request
from policies.selection.greedy import Greedy, GreedySettings, greedy_earliest

SMALL = Candidate("small", "a", 0.4, predicted_finish_at=10.2)
MEDIUM = Candidate("medium", "a", 0.6, predicted_finish_at=10.5)
LARGE = Candidate("large", "b", 0.8, predicted_finish_at=11.0)
ALL = [SMALL, MEDIUM, LARGE]


@pytest.mark.parametrize(("deadline_at", "chosen"), [(11.1, 2), (11.05, 1), (10.6, 1), (10.4, 0), (10.3, 0)])
def test_the_best_quality_that_is_in_time_at_the_client(deadline_at: float, chosen: int) -> None:
    choice = Greedy().choose(Request("llm", deadline_at=deadline_at, way_back_s=0.1), ALL, now=10.0)
    assert choice.candidate == chosen
    assert choice.reason == "best in time"


def test_with_none_in_time_it_sheds_or_takes_the_earliest() -> None:
    late = Request("llm", deadline_at=10.1)
    shedding, sending = Greedy(), greedy_earliest()
    assert (shedding.name, sending.name) == ("greedy", "greedy_earliest")
    assert shedding.choose(late, ALL, now=10.0).shed
    assert sending.choose(late, list(reversed(ALL)), now=10.0).candidate == 2
    assert shedding.log_data() == sending.log_data() == {"none_in_time": 1}


def test_equal_quality_goes_to_the_earlier_finish() -> None:
    twin = replace(LARGE, instance="c", predicted_finish_at=10.9)
    assert Greedy().choose(Request("llm"), [LARGE, twin, SMALL], now=10.0).candidate == 1


def test_the_margin_is_in_standard_deviations() -> None:
    candidate = replace(LARGE, profile=Profile(((1, 1.0),), deviation=0.1))
    request = Request("llm", deadline_at=11.15)
    assert Greedy(GreedySettings(margin_sigmas=1.0)).choose(request, [candidate], now=10.0).candidate == 0
    assert Greedy(GreedySettings(margin_sigmas=2.0)).choose(request, [candidate], now=10.0).shed
