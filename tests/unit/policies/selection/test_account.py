from __future__ import annotations

import pytest

from policies.profile import Profile
from policies.selection.account import CandidateAccount

PROFILE = Profile(((1, 0.1), (4, 0.4)))


def account() -> CandidateAccount:
    return CandidateAccount("large", instance="a", quality=0.7, profile=PROFILE)


def test_a_candidate_shows_what_is_known() -> None:
    kept = account()
    kept.sent("x", now=0.0)
    kept.sent("y", now=0.0)
    seen = kept.candidate(ahead=1, now=0.0)
    assert (seen.name, seen.instance, seen.quality, seen.ready) == ("large", "a", 0.7, True)
    assert (seen.running, seen.waiting, seen.batch) == (1, 2, 3)
    assert seen.predicted_finish_at == pytest.approx(0.1 + 0.3)
    assert (seen.latency_s, seen.error_rate, seen.slow_down, seen.profile) == (None, 0.0, 1.0, PROFILE)
    assert repr(kept) == "<CandidateAccount large 1 running, 1 waiting>"


def test_latency_is_a_recent_mean() -> None:
    kept = account()
    for number, seconds in enumerate((0.1, 0.2)):
        kept.sent("x", now=number)
        kept.answered("x", now=number + seconds)
    assert kept.candidate(now=2.0).latency_s == pytest.approx(0.12)


def test_failures_count_and_fade() -> None:
    kept = account()
    kept.sent("x", now=0.0)
    kept.failed("x", now=0.0)
    assert kept.candidate(now=0.0).error_rate == pytest.approx(0.2)
    assert kept.candidate(now=10.0).error_rate == pytest.approx(0.1)
    kept.sent("x", now=10.0)
    kept.answered("x", now=10.0)
    assert kept.error_rate(now=10.0) == pytest.approx(0.08)


def test_what_is_given_up_does_not_count_against_the_model() -> None:
    kept = account()
    kept.sent("x", now=0.0)
    kept.abandoned("x", now=0.1)
    seen = kept.candidate(now=0.1)
    assert (seen.error_rate, seen.running, seen.latency_s) == (0.0, 0, None)


def test_away_for_a_second_or_until_a_probe_says_otherwise() -> None:
    kept = account()
    kept.away(now=0.0)
    assert not kept.candidate(now=0.9).ready
    assert kept.candidate(now=1.0).ready
    kept.probed(ready=False, now=1.0)
    kept.away(now=1.5)
    assert not kept.ready(now=3.9)
    kept.probed(ready=True, now=3.9)
    assert kept.ready(now=3.9)


def test_the_first_message_of_a_stream_is_noted_without_harm_to_batches() -> None:
    kept = account()
    kept.sent("x", now=0.0)
    kept.began("x", now=0.05)
    assert kept.candidate(now=0.05).running == 1


def test_without_a_profile_its_answers_tell_how_long_it_takes() -> None:
    kept = CandidateAccount("large", instance="a", quality=0.7)
    for _ in range(2):
        kept.sent("x", now=0.0)
        kept.answered("x", now=0.25)
    kept.sent("y", now=1.0)
    seen = kept.candidate(now=1.0)
    assert (seen.predicted_finish_at, seen.batch, seen.profile) == (None, None, None)
    assert (seen.running, seen.waiting, seen.latency_s, seen.slow_down) == (1, 0, 0.25, 1.0)


@pytest.mark.parametrize("profile", [None, PROFILE])
def test_more_in_the_queue_than_was_sent_is_ahead_of_the_next_request(profile: Profile | None) -> None:
    kept = CandidateAccount("large", instance="a", quality=0.7, profile=profile)
    kept.sent("x", now=0.0)
    kept.queued(6)
    seen = kept.candidate(now=0.0)
    assert seen.load == 6
    if profile is not None:
        assert (seen.running, seen.waiting, seen.batch) == (1, 5, 2)
        assert seen.predicted_finish_at == pytest.approx(0.1 + 0.4 + 0.2)
    kept.queued(0)
    assert kept.candidate(now=0.0).load == 1


def test_without_a_profile_the_count_says_which_of_its_own_wait() -> None:
    kept = CandidateAccount("large", instance="a", quality=0.7)
    for key in "xyz":
        kept.sent(key, now=0.0)
    kept.queued(2)
    assert (kept.candidate(now=0.0).running, kept.candidate(now=0.0).waiting) == (1, 2)


def test_a_route_may_have_a_quality_of_its_own_and_the_gpu_shows_where_it_is_read() -> None:
    kept = account()
    assert (kept.candidate(now=0.0).quality, kept.candidate(now=0.0).gpu_load) == (0.7, None)
    kept.gpu_load = 0.5
    assert (kept.candidate(quality=0.9, now=0.0).quality, kept.candidate(now=0.0).gpu_load) == (0.9, 0.5)
