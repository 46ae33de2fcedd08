from __future__ import annotations

import math
from dataclasses import replace

import pytest

from policies.profile import Profile
from policies.selection.base import Candidate, Request
from policies.selection.finish import expected_finish_at, expected_wait_s, finishes_in_time, own_batch, peak_rate

PROFILE = Profile(((1, 0.1), (4, 0.4)), deviation=0.2, p95_over_p50=2.0)
IDLE = Candidate("m", "a", 0.5, profile=PROFILE)
UNKNOWN = Candidate("m", "a", 0.5)


@pytest.mark.parametrize(
    ("running", "waiting", "instances", "wait_s"),
    [
        (0, 0, 1, 0.0),
        (1, 0, 1, 0.1),  # half of the 95th percentile of a batch of 1
        (4, 0, 1, 0.4),
        (4, 3, 1, 0.4),  # joins those that wait
        (4, 4, 1, 1.2),  # behind a full batch
        (9, 0, 1, 1.2),  # more than run at once: 5 must be waiting
        (1, 0, 2, 0.0),
        (2, 0, 2, 0.1),
        (8, 8, 2, 1.2),
    ],
)
def test_the_wait_is_half_the_running_batch_and_the_full_batches_ahead(
    running: int, waiting: int, instances: int, wait_s: float
) -> None:
    profile = replace(PROFILE, instances=instances)
    candidate = Candidate("m", "a", 0.5, running=running, waiting=waiting, profile=profile)
    assert expected_wait_s(candidate) == pytest.approx(wait_s)
    assert expected_wait_s(replace(candidate, slow_down=3.0)) == pytest.approx(3 * wait_s)


def test_the_batch_is_the_reported_one_within_the_profile() -> None:
    assert own_batch(IDLE) == 1
    assert own_batch(replace(IDLE, waiting=6)) == 3
    assert own_batch(replace(IDLE, waiting=6, batch=2)) == 2
    assert own_batch(replace(IDLE, batch=64)) == 4
    assert own_batch(replace(IDLE, batch=0)) == 1
    assert own_batch(replace(UNKNOWN, batch=3)) == 1


def test_a_prediction_is_believed_and_the_margin_is_added_to_it() -> None:
    predicted = replace(IDLE, predicted_finish_at=12.0, batch=4)
    assert expected_finish_at(predicted, now=10.0) == 12.0
    assert expected_finish_at(predicted, now=10.0, margin_sigmas=2.0) == pytest.approx(12.0 + 2 * 0.2 * 0.4)
    assert expected_finish_at(replace(UNKNOWN, predicted_finish_at=12.0), now=10.0, margin_sigmas=2.0) == 12.0


def test_without_a_prediction_the_profile_counts_and_without_that_recent_latency() -> None:
    assert expected_finish_at(IDLE, now=10.0) == pytest.approx(10.2)
    assert expected_finish_at(replace(IDLE, running=1, slow_down=2.0), now=10.0) == pytest.approx(10.6)
    assert expected_finish_at(IDLE, now=10.0, margin_sigmas=1.0) == pytest.approx(10.22)
    assert expected_finish_at(replace(UNKNOWN, latency_s=0.7), now=10.0) == pytest.approx(10.7)
    assert expected_finish_at(UNKNOWN, now=10.0) == 10.0


def test_the_peak_rate_falls_with_a_slow_down() -> None:
    assert peak_rate(IDLE) == pytest.approx(10.0)
    assert peak_rate(replace(IDLE, slow_down=2.0)) == pytest.approx(5.0)
    assert peak_rate(replace(UNKNOWN, latency_s=0.25)) == 4.0
    assert peak_rate(UNKNOWN) == math.inf


def test_what_is_in_time_is_so_at_the_client() -> None:
    fast, slow = replace(UNKNOWN, latency_s=0.5), replace(UNKNOWN, latency_s=1.0)
    away = replace(fast, ready=False)
    request = Request("llm", deadline_at=11.0, way_back_s=0.25)
    positions, in_time, finish_at = finishes_in_time(request, [away, slow, fast], now=10.0)
    assert (positions, in_time, finish_at) == ([1, 2], [2], {1: 11.0, 2: 10.5})
