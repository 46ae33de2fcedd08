from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from policies.profile import Profile, TokenProfile
from policies.selection.base import Arrivals, Candidate, Request
from policies.selection.draws import SplitMix64
from policies.selection.proteus import ProteusLite, ProteusSettings

LARGE = Candidate("large", "a", 0.8, profile=Profile(((1, 0.5), (5, 0.5), (10, 2.0))))  # 10 requests/s in batches of 5
SMALL = Candidate("small", "b", 0.4, profile=Profile(((1, 0.05),)))  # 20 requests/s
ALL = [SMALL, LARGE]


def asked(policy: ProteusLite, rate: float, *, now: float = 0.0, slack_s: float = 1.0) -> int | None:
    request = Request("llm", deadline_at=now + slack_s, arrivals=Arrivals(0.0, rate))
    return policy.choose(request, ALL, now=now).candidate


@pytest.mark.parametrize(
    ("rate", "shares"), [(4.0, (0.0, 1.0)), (16.0, (0.5, 0.5)), (24.0, (0.667, 0.333)), (48.0, (0.333, 0.167))]
)
def test_the_best_is_filled_first(rate: float, shares: tuple[float, float]) -> None:
    policy = ProteusLite()
    asked(policy, rate)
    assert policy.log_data() == {"shares": shares}


def test_of_token_streams_as_many_are_counted_as_run_at_once() -> None:
    tokens = TokenProfile(0.001, 0.02, ((1, 0.025), (8, 0.05)), max_sequences=8)
    streams = Candidate("streams", "a", 0.8, profile=Profile(((1, 2.0),), tokens=tokens))  # 8 in 4 s
    policy = ProteusLite(ProteusSettings(utilisation=1.0))
    policy.choose(Request("llm", deadline_at=1.0, arrivals=Arrivals(0.0, 4.0)), [SMALL, streams], now=0.0)
    assert policy.log_data() == {"shares": (0.5, 0.5)}


def test_requests_are_spread_by_the_shares_and_the_rest_is_shed() -> None:
    policy = ProteusLite(draws=SplitMix64(1))
    counts = Counter(asked(policy, 48.0) for _ in range(3000))
    # Standard deviation 27 at most: five of them either way.
    assert counts == {
        0: pytest.approx(1000, abs=135),
        1: pytest.approx(500, abs=135),
        None: pytest.approx(1500, abs=135),
    }


def test_a_solution_holds_for_the_period() -> None:
    policy = ProteusLite(ProteusSettings(period_s=10.0))
    asked(policy, 4.0)
    asked(policy, 16.0, now=9.9)
    assert policy.log_data() == {"shares": (0.0, 1.0)}
    asked(policy, 16.0, now=10.0)
    assert policy.log_data() == {"shares": (0.5, 0.5)}


def test_candidates_that_go_make_a_new_solution() -> None:
    policy = ProteusLite()
    asked(policy, 4.0)
    away = [SMALL, replace(LARGE, ready=False)]
    assert policy.choose(Request("llm", arrivals=Arrivals(0.0, 4.0)), away, now=1.0).candidate == 0
    assert policy.log_data() == {"shares": (1.0,)}


def test_the_batch_is_the_largest_within_half_the_slack_or_one() -> None:
    policy = ProteusLite(ProteusSettings(utilisation=1.0))
    asked(policy, 4.0, slack_s=0.9)  # batch 1: 2 requests/s
    assert policy.log_data() == {"shares": (0.5, 0.5)}
    roomy = ProteusLite(ProteusSettings(utilisation=1.0))
    asked(roomy, 20.0, slack_s=2.0)  # batch 6 within 1 s, 0.8 s: 7.5 requests/s
    assert roomy.log_data() == {"shares": (0.625, 0.375)}
