"""What is learned of the time that answers take."""

from __future__ import annotations

import random

import pytest

from proxy.tunnel.answer_times import AnswerTimes


def test_nothing_is_known_before_the_first_answer() -> None:
    assert AnswerTimes().estimate_s("bulk") == 0.0


def test_the_first_answer_counts_as_a_whole_less_the_round_trip() -> None:
    times = AnswerTimes()
    times.answered("bulk", took_s=0.75, rtt_s=0.25)
    assert times.estimate_s("bulk") == 0.5


def test_classes_are_apart() -> None:
    times = AnswerTimes()
    times.answered("bulk", took_s=2.0, rtt_s=0.0)
    times.answered("realtime", took_s=0.25, rtt_s=0.0)
    assert [times.estimate_s(name) for name in ("bulk", "realtime", "standard")] == [2.0, 0.25, 0.0]


def test_it_follows_shorter_answers_four_times_as_fast_as_longer_ones() -> None:
    times = AnswerTimes()
    times.answered("bulk", took_s=1.0, rtt_s=0.0)
    times.answered("bulk", took_s=2.0, rtt_s=0.0)
    assert times.estimate_s("bulk") == 1.0625
    times.answered("bulk", took_s=0.0625, rtt_s=0.0)
    assert times.estimate_s("bulk") == 0.8125


def test_an_answer_within_the_round_trip_took_no_time() -> None:
    times = AnswerTimes()
    times.answered("bulk", took_s=0.1, rtt_s=0.3)
    assert times.estimate_s("bulk") == 0.0


@pytest.mark.parametrize("seed", range(3))
def test_of_answers_from_one_to_two_seconds_it_settles_a_third_of_the_way(seed: int) -> None:
    times, rng = AnswerTimes(), random.Random(seed)
    estimates = []
    for number in range(4000):
        times.answered("bulk", took_s=rng.uniform(1.1, 2.1), rtt_s=0.1)
        if number >= 1000:
            estimates.append(times.estimate_s("bulk"))
    assert sum(estimates) / len(estimates) == pytest.approx(4 / 3, abs=0.02)


def test_repr_shows_what_is_known() -> None:
    times = AnswerTimes()
    times.answered("bulk", took_s=0.5, rtt_s=0.0)
    assert repr(times) == "<AnswerTimes bulk=0.5>"
