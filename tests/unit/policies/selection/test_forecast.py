from __future__ import annotations

import math
from dataclasses import replace

import pytest

from policies.profile import Profile, TokenProfile
from policies.selection.forecast import BatchForecast, Forecast, TokenForecast, make_forecast

PROFILE = Profile(((1, 0.1), (4, 0.4)))
TOKENS = TokenProfile(prefill_s_per_token=0.001, prefill_base_s=0.01, step_s=((1, 0.02), (2, 0.04)), max_sequences=2)
STREAMS = Profile(((1, 0.21),), tokens=TOKENS)


def predict(forecast: Forecast, now: float, *, ahead: int = 0, prompt_tokens: int = 0) -> tuple[float, int]:
    prediction = forecast.predict(prompt_tokens=prompt_tokens, ahead=ahead, now=now)
    return prediction.finish_at, prediction.batch


def send(forecast: Forecast, *keys: str, now: float, prompt_tokens: int = 0) -> None:
    for key in keys:
        forecast.sent(key, prompt_tokens=prompt_tokens, now=now)


def answer(forecast: Forecast, *keys: str, now: float, messages: int = 1) -> None:
    for key in keys:
        forecast.ended(key, answered=True, messages=messages, now=now)


def test_an_idle_model_begins_at_once() -> None:
    assert predict(BatchForecast(PROFILE), 5.0) == pytest.approx((5.1, 1))


def test_requests_behind_a_running_batch_make_the_next() -> None:
    forecast = BatchForecast(PROFILE)
    send(forecast, "a", "b", "c", now=0.0)
    assert repr(forecast) == "<BatchForecast 1 running in 1 batches, 2 waiting>"
    assert predict(forecast, 0.05) == pytest.approx((0.1 + 0.3, 3))
    assert predict(forecast, 0.05, ahead=2) == pytest.approx((0.1 + 0.4 + 0.1, 1))
    answer(forecast, "a", now=0.1)
    assert (forecast.running, forecast.waiting) == (2, 0)
    assert predict(forecast, 0.1) == pytest.approx((0.1 + 0.2 + 0.1, 1))


def test_the_batch_ends_with_the_first_of_its_answers() -> None:
    forecast = BatchForecast(PROFILE)
    send(forecast, "a", "b", "c", now=0.0)
    answer(forecast, "a", now=0.1)
    answer(forecast, "b", now=0.3)
    assert predict(forecast, 0.3) == pytest.approx((0.4, 1))
    assert forecast.running == 1
    answer(forecast, "c", now=0.3)
    assert forecast.running == 0


def test_a_request_began_with_its_batch() -> None:
    forecast = BatchForecast(PROFILE)
    send(forecast, "a", now=0.0)
    send(forecast, "b", "c", now=0.05)
    assert forecast.begun_at("a", now=0.1) == 0.0
    assert forecast.begun_at("b", now=0.1) == math.inf
    answer(forecast, "a", now=0.1)
    assert forecast.begun_at("b", now=0.3) == forecast.begun_at("c", now=0.3) == 0.1


def test_a_sequence_began_when_its_prompt_was_read() -> None:
    forecast = TokenForecast(STREAMS)
    send(forecast, "a", now=0.0, prompt_tokens=90)
    assert forecast.begun_at("a", now=0.5) == pytest.approx(0.4)
    forecast.began("a", now=0.5)
    assert forecast.begun_at("a", now=0.6) == math.inf


def test_instances_run_side_by_side() -> None:
    forecast = BatchForecast(replace(PROFILE, instances=2))
    send(forecast, "a", now=0.0)
    assert predict(forecast, 0.05) == pytest.approx((0.15, 1))
    send(forecast, "b", now=0.05)
    assert predict(forecast, 0.06) == pytest.approx((0.2, 1))
    assert predict(forecast, 0.06, ahead=4) == pytest.approx((0.15 + 0.1, 1))


def test_an_overdue_batch_ends_now_and_shows_as_slow() -> None:
    forecast = BatchForecast(PROFILE)
    send(forecast, "a", now=0.0)
    assert forecast.slow_down(now=0.05) == 1.0
    assert predict(forecast, 0.3) == pytest.approx((0.4, 1))
    assert forecast.slow_down(now=0.3) == pytest.approx(3)


def test_slow_batches_stretch_what_is_predicted() -> None:
    forecast = BatchForecast(PROFILE)
    for number in range(40):
        send(forecast, "a", now=number)
        answer(forecast, "a", now=number + 0.2)
    assert forecast.slow_down(now=39.2) == pytest.approx(2, rel=0.05)
    assert predict(forecast, 39.2) == pytest.approx((39.4, 1), abs=0.01)


def test_a_model_that_was_slow_and_is_left_alone_is_thought_to_recover() -> None:
    forecast = BatchForecast(PROFILE)
    for number in range(20):
        send(forecast, "a", now=number)
        answer(forecast, "a", now=number + 1.0)
    assert forecast.slow_down(now=20.0) > 8
    slow = [forecast.slow_down(now=20.0 + later) for later in (0, 60, 120, 600)]
    assert slow == sorted(slow, reverse=True)
    assert (slow[1] - 1) / (slow[0] - 1) == pytest.approx(1 / math.e)
    assert predict(forecast, 620.0) == pytest.approx((620.1, 1), abs=0.001)


def test_an_answer_too_early_for_its_batch_says_nothing() -> None:
    forecast = BatchForecast(PROFILE)
    send(forecast, "a", "b", now=0.0)
    answer(forecast, "a", "b", now=0.2)  # they shared a batch
    assert forecast.slow_down(now=0.2) == pytest.approx(1.2)
    assert (forecast.running, forecast.waiting) == (0, 0)


def test_a_delay_waits_for_a_full_batch() -> None:
    forecast = BatchForecast(replace(PROFILE, batch_delay_s=0.05))
    assert predict(forecast, 0.0) == pytest.approx((0.15, 1))
    send(forecast, "a", now=0.0)
    assert (forecast.running, forecast.waiting) == (0, 1)
    assert predict(forecast, 0.02) == pytest.approx((0.05 + 0.2, 2))
    assert predict(forecast, 0.07) == pytest.approx((0.05 + 0.1 + 0.1, 1))
    assert forecast.running == 1


def test_one_given_up_leaves_its_batch_running() -> None:
    forecast = BatchForecast(PROFILE)
    send(forecast, "a", "b", "c", "d", now=0.0)
    answer(forecast, "a", now=0.1)
    forecast.ended("b", answered=False, messages=0, now=0.2)
    assert forecast.running == 2
    assert predict(forecast, 0.2) == pytest.approx((0.4 + 0.1, 1))
    forecast.ended("c", answered=False, messages=0, now=0.2)
    forecast.ended("d", answered=False, messages=0, now=0.2)
    assert predict(forecast, 0.2) == pytest.approx((0.3, 1))


def test_decisions_reckon_with_the_95th_percentile() -> None:
    assert predict(BatchForecast(replace(PROFILE, p95_over_p50=1.5)), 0.0) == pytest.approx((0.15, 1))


def test_a_first_token_comes_after_a_step_and_the_prompts_ahead() -> None:
    forecast = make_forecast(STREAMS)
    assert predict(forecast, 0.0, prompt_tokens=100) == pytest.approx((0.11, 1))
    send(forecast, "a", now=0.0, prompt_tokens=100)
    assert (forecast.running, forecast.waiting) == (0, 1)
    assert predict(forecast, 0.0, prompt_tokens=50) == pytest.approx((0.11 + 0.06, 2))
    forecast.began("a", now=0.11)
    assert predict(forecast, 0.11, prompt_tokens=50) == pytest.approx((0.11 + 0.02 + 0.06, 2))
    assert repr(forecast) == "<TokenForecast 1 sequences, 0 waiting>"


def test_with_all_places_taken_a_sequence_must_end_first() -> None:
    forecast = make_forecast(STREAMS)
    send(forecast, "a", "b", now=0.0)
    forecast.began("a", now=0.0)
    forecast.began("b", now=0.2)
    # An answer is thought to have (0.21 - 0.01) / 0.02 = 10 tokens: of two, at 0.04 s a token, one ends every 0.2 s.
    assert predict(forecast, 0.2) == pytest.approx((0.4 + 0.01, 2))
    assert predict(forecast, 0.2, ahead=1) == pytest.approx((0.6 + 0.01, 2))
    # They need not end at once for having written more than the mean.
    assert predict(forecast, 0.9) == pytest.approx((1.1 + 0.01, 2))
    answer(forecast, "a", now=0.4, messages=10)
    assert predict(forecast, 0.4) == pytest.approx((0.4 + (0.02 + 0.01) * forecast.slow_down(now=0.4), 2))


def test_the_pace_and_the_length_of_answers_are_learnt() -> None:
    forecast = make_forecast(STREAMS)
    for number in range(40):
        send(forecast, "a", now=number)
        forecast.began("a", now=number)
        answer(forecast, "a", now=number + 0.8, messages=21)  # 0.04 s a token
    assert forecast.slow_down(now=39.8) == pytest.approx(2, rel=0.05)
    assert predict(forecast, 39.8)[0] == pytest.approx(39.82, abs=0.002)


def test_the_length_of_answers_is_learnt_from_many() -> None:
    forecast = make_forecast(STREAMS)
    waits_s = []
    send(forecast, "other", now=0.0)
    forecast.began("other", now=0.0)
    for number in range(200):
        send(forecast, "a", now=number)
        forecast.began("a", now=number)
        waits_s.append(predict(forecast, number)[0] - 0.01 - number)
        answer(forecast, "a", now=number + 0.76, messages=20)  # at the profiled pace
    assert waits_s[0] == pytest.approx(0.2)
    assert waits_s[1] == pytest.approx(0.2, rel=0.05)
    assert waits_s[-1] == pytest.approx(0.4, rel=0.05)


def test_failed_sequences_leave_nothing_behind() -> None:
    forecast = make_forecast(STREAMS)
    send(forecast, "a", "b", now=0.0, prompt_tokens=10)
    forecast.began("a", now=0.1)
    for key in "ab":
        forecast.ended(key, answered=False, messages=0, now=0.2)
    assert predict(forecast, 1.0) == pytest.approx((1.01, 1))


def test_streams_need_a_profile_with_tokens() -> None:
    with pytest.raises(ValueError, match="no tokens"):
        TokenForecast(PROFILE)
