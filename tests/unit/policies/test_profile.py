from __future__ import annotations

import math
from typing import Any

import pytest

from policies.profile import Profile, TokenProfile

LARGE = Profile(((1, 0.4), (2, 0.5), (6, 0.9)), p95_over_p50=1.5, instances=2)
TOKENS = TokenProfile(0.001, 0.02, ((1, 0.01), (3, 0.02)), 3)


@pytest.mark.parametrize(("batch", "seconds"), [(1, 0.4), (2, 0.5), (3, 0.6), (4, 0.7), (6, 0.9)])
def test_latency_is_linear_between_the_listed_batches(batch: int, seconds: float) -> None:
    assert LARGE.at(batch) == pytest.approx(seconds)
    assert LARGE.p95(batch) == pytest.approx(1.5 * seconds)


@pytest.mark.parametrize("batch", [0, -1, 7])
def test_a_batch_that_was_not_measured_is_refused(batch: int) -> None:
    with pytest.raises(ValueError, match=f"batch of {batch}, and the profile has 1 to 6"):
        LARGE.at(batch)
    with pytest.raises(ValueError, match="profile has 1 to 6"):
        LARGE.p95(batch)


def test_the_peak_rate_is_that_of_the_best_batch_on_all_instances() -> None:
    assert LARGE.peak_rate == pytest.approx(2 * 6 / 0.9)
    assert Profile(((1, 0.1), (2, 0.4))).peak_rate == pytest.approx(10.0)


def test_that_of_token_streams_is_of_as_many_as_run_at_once() -> None:
    tokens = TokenProfile(0.001, 0.02, ((1, 0.025), (16, 0.05)), max_sequences=16)
    assert Profile(((1, 2.0),), instances=2, tokens=tokens).peak_rate == pytest.approx(2 * 16 / 4.0)


def test_the_largest_batch_is_the_largest_listed_unless_it_is_set_lower() -> None:
    assert LARGE.max_batch == 6
    lower = Profile(((1, 0.4), (6, 0.9)), max_batch=3)
    assert lower.max_batch == 3
    assert lower.peak_rate == pytest.approx(3 / 0.6)
    with pytest.raises(ValueError, match="1 to 3"):
        lower.at(4)


def test_profiles_compare_and_print_by_what_was_measured() -> None:
    assert Profile(((1, 0.4),)) == Profile(((1, 0.4),), max_batch=1)
    assert hash(Profile(((1, 0.4),))) == hash(Profile(((1, 0.4),)))
    assert Profile(((1, 0.4),)) != Profile(((1, 0.5),))
    assert "_latency" not in repr(LARGE)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"latency_s": ()}, "ascending sizes from 1"),
        ({"latency_s": ((2, 0.1),)}, "ascending sizes from 1"),
        ({"latency_s": ((1, 0.1), (4, 0.2), (4, 0.3))}, "ascending sizes from 1"),
        ({"latency_s": ((1, 0.0),)}, "above 0 s"),
        ({"latency_s": ((1, math.inf),)}, "above 0 s"),
        ({"latency_s": ((1, 0.1),), "max_batch": 2}, "sizes to 1, and 2"),
        ({"latency_s": ((1, 0.1),), "max_batch": -1}, "sizes to 1, and -1"),
        ({"latency_s": ((1, 0.1),), "instances": 0}, "at least one instance"),
        ({"latency_s": ((1, 0.1),), "deviation": -0.1}, "must not be negative"),
        ({"latency_s": ((1, 0.1),), "batch_delay_s": -0.1}, "must not be negative"),
        ({"latency_s": ((1, 0.1),), "p95_over_p50": 0.9}, "not below 1"),
        ({"latency_s": ((1, 0.1),), "preferred": (2,)}, "not within 1 to 1"),
    ],
)
def test_values_that_contradict_each_other_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Profile(**values)


def test_a_token_profile_gives_the_time_of_a_prompt_and_of_a_step() -> None:
    assert TOKENS.prefill(100) == pytest.approx(0.12)
    assert TOKENS.step(1) == 0.01
    assert TOKENS.step(2) == pytest.approx(0.015)
    with pytest.raises(ValueError, match="4 sequences, and the profile has 1 to 3"):
        TOKENS.step(4)
    with pytest.raises(ValueError, match="step_s"):
        TokenProfile(0.001, 0.02, ((1, 0.01),), 3)
    with pytest.raises(ValueError, match="negative"):
        TokenProfile(-0.001, 0.02, ((1, 0.01),), 1)
