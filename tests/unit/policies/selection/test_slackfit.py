from __future__ import annotations

from dataclasses import replace

import pytest

from policies.profile import Profile
from policies.selection.base import Candidate, Request
from policies.selection.slackfit import SlackFit, SlackFitSettings

# Pairs: large 0.40 0.48 0.56 0.64 for batches 1 to 4, small 0.04 to 0.16. Four buckets: 0.04, 0.19, 0.34, 0.49 to 0.64.
LARGE = Candidate("large", "a", 0.8, profile=Profile(((1, 0.4), (4, 0.64))))
SMALL = Candidate("small", "a", 0.4, profile=Profile(((1, 0.04), (4, 0.16))))
ALL = [LARGE, SMALL]


def policy(**knobs: object) -> SlackFit:
    return SlackFit(replace(SlackFitSettings(buckets=4), **knobs))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("slack_s", "chosen", "reason"),
    [
        (2.0, 0, "bucket of 0.640 s, batch 4"),
        (0.65, 0, "bucket of 0.640 s, batch 4"),
        (0.63, 0, "bucket of 0.480 s, batch 2"),
        (0.47, 1, "bucket of 0.160 s, batch 4"),
        (0.17, 1, "bucket of 0.160 s, batch 4"),
    ],
)
def test_the_highest_bucket_that_fits_the_slack(slack_s: float, chosen: int, reason: str) -> None:
    choice = policy().choose(Request("llm", deadline_at=10 + slack_s + 0.1, way_back_s=0.1), ALL, now=10.0)
    assert (choice.candidate, choice.reason) == (chosen, reason)


def test_a_queue_takes_its_wait_from_the_slack() -> None:
    request = Request("llm", deadline_at=11.0)
    assert policy().choose(request, ALL, now=10.0).candidate == 0
    busy = replace(LARGE, running=4, waiting=4)
    assert policy().choose(request, [busy, SMALL], now=10.0).candidate == 1
    predicted = replace(LARGE, predicted_finish_at=11.0, batch=1)  # begins at 10.6
    assert policy().choose(request, [predicted, SMALL], now=10.0).candidate == 1
    assert policy().choose(request, [replace(predicted, predicted_finish_at=10.7), SMALL], now=10.0).candidate == 0
    assert (
        policy().choose(request, [replace(LARGE, slow_down=2.0), SMALL], now=10.0).reason.startswith("bucket of 0.480")
    )


def test_what_fits_no_bucket_is_shed_or_sent_where_it_finishes_first() -> None:
    request = Request("llm", deadline_at=10.03)
    shedding, sending = policy(), policy(none_fits="earliest")
    assert shedding.choose(request, ALL, now=10.0).shed
    assert sending.choose(request, ALL, now=10.0).candidate == 1
    # Buckets 0.16, 0.48 and 0.64: the one between the models' latencies is empty.
    assert shedding.log_data() == sending.log_data() == {"buckets": 3, "none_fits": 1}


def test_buckets_follow_the_candidates_that_are_ready() -> None:
    slackfit, request = policy(), Request("llm", deadline_at=12.0)
    assert slackfit.choose(request, ALL, now=10.0).candidate == 0
    assert slackfit.choose(request, [replace(LARGE, ready=False), SMALL], now=10.0).candidate == 1
    assert slackfit.choose(request, [SMALL, LARGE], now=10.0).candidate == 1


def test_equal_batches_in_a_bucket_go_to_quality() -> None:
    better = replace(SMALL, name="better", quality=0.5)
    for candidates, chosen in (([SMALL, better], 1), ([better, SMALL], 0)):
        assert policy(buckets=1).choose(Request("llm"), candidates, now=0.0).candidate == chosen


def test_without_profiles_recent_latency_makes_the_buckets() -> None:
    fast, slow = Candidate("fast", "a", 0.4, latency_s=0.1), Candidate("slow", "a", 0.8, latency_s=0.9)
    assert policy().choose(Request("llm", deadline_at=11.0), [fast, slow], now=10.0).candidate == 1
    assert policy().choose(Request("llm", deadline_at=10.5), [fast, slow], now=10.0).candidate == 0
