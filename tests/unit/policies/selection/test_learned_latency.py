from __future__ import annotations

import math

import pytest

from policies.selection.learned_latency import LearnedLatency


def answer(learned: LearnedLatency, seconds: float) -> None:
    learned.sent("x", prompt_tokens=0, now=0.0)
    learned.ended("x", answered=True, messages=1, now=seconds)


def test_slow_down_compares_recent_answers_with_the_long_run() -> None:
    learned = LearnedLatency()
    assert learned.slow_down(now=0.0) == 1.0
    for _ in range(50):
        answer(learned, 0.1)
    assert learned.slow_down(now=0.0) == pytest.approx(1.0)
    for _ in range(20):
        answer(learned, 1.0)
    assert learned.slow_down(now=0.0) > 4
    for _ in range(20):
        answer(learned, 0.1)
    assert learned.slow_down(now=0.0) == 1.0


def test_what_is_said_to_be_queued_waits_as_far_as_it_is_under_way() -> None:
    learned = LearnedLatency()
    learned.queued(5)
    for key in "xy":
        learned.sent(key, prompt_tokens=0, now=0.0)
    assert (learned.running, learned.waiting) == (0, 2)
    learned.queued(1)
    assert (learned.running, learned.waiting) == (1, 1)
    learned.began("x", now=0.1)
    learned.ended("x", answered=False, messages=0, now=0.2)
    assert repr(learned) == "<LearnedLatency 0 running, 1 waiting>"


def test_it_predicts_nothing() -> None:
    assert LearnedLatency().predict(prompt_tokens=10, ahead=2, now=0.0) == (None, None)


def test_when_the_model_began_nothing_tells() -> None:
    learned = LearnedLatency()
    learned.sent("x", prompt_tokens=0, now=0.0)
    assert learned.begun_at("x", now=0.1) == math.inf
