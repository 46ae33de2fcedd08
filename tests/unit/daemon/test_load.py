from __future__ import annotations

import pytest

from proxy.daemon.load import LoadStatistics, ModelLoad
from proxy.errors import Code


def test_a_model_nobody_has_asked_yet_is_ready_and_idle() -> None:
    candidate = ModelLoad().candidate("llm-large", "a", 0.7, now=0.0)
    assert (candidate.name, candidate.instance, candidate.quality) == ("llm-large", "a", 0.7)
    assert candidate.ready
    assert (candidate.load, candidate.latency_s, candidate.error_rate, candidate.slow_down) == (0, None, 0.0, 1.0)


def test_requests_under_way_are_counted_and_leave_the_count_however_they_end() -> None:
    load = ModelLoad()
    for _ in range(3):
        load.sent()
    assert load.candidate("m", "a", 0.5, now=0.0).running == 3
    load.finished(Code.OK, sent_at=0.0, now=0.25)
    load.finished(Code.INTERNAL, sent_at=0.0, now=0.25)
    load.abandoned()
    assert load.statistics() == LoadStatistics(running=0, finished=2, failed=1, abandoned=1)
    assert repr(load) == "<ModelLoad 0 in flight, 2 finished, 1 failed, 250.0 ms>"


def test_what_triton_reports_as_queued_is_not_running() -> None:
    load = ModelLoad()
    load.sent()
    load.sent()
    load.queued(1)
    candidate = load.candidate("m", "a", 0.5, now=0.0)
    assert (candidate.running, candidate.waiting) == (1, 1)
    load.queued(9)
    candidate = load.candidate("m", "a", 0.5, now=0.0)
    assert (candidate.running, candidate.waiting) == (0, 2)


def answer(load: ModelLoad, latency_s: float, code: Code = Code.OK, now: float = 0.0) -> None:
    load.sent()
    load.finished(code, sent_at=now - latency_s, now=now)


def test_latency_follows_recent_answers_and_slow_down_compares_them_with_the_long_run() -> None:
    load = ModelLoad()
    for _ in range(50):
        answer(load, 0.1)
    assert load.candidate("m", "a", 0.5, now=0.0).slow_down == pytest.approx(1.0)
    for _ in range(20):
        answer(load, 1.0)
    candidate = load.candidate("m", "a", 0.5, now=0.0)
    assert candidate.latency_s == pytest.approx(0.99, abs=0.02)
    assert candidate.slow_down > 4


def test_failures_have_no_latency() -> None:
    load = ModelLoad()
    answer(load, 5.0, Code.INTERNAL)
    assert load.candidate("m", "a", 0.5, now=0.0).latency_s is None


def test_the_error_rate_counts_the_model_s_faults_only_and_fades() -> None:
    load = ModelLoad()
    answer(load, 0.1, Code.INVALID_ARGUMENT)
    assert load.error_rate(now=0.0) == 0.0
    for _ in range(30):
        answer(load, 0.1, Code.INTERNAL)
    assert load.error_rate(now=0.0) == pytest.approx(1.0, abs=0.01)
    assert load.error_rate(now=10.0) == pytest.approx(0.5, abs=0.01)


def test_a_model_found_away_counts_as_ready_again_after_a_second() -> None:
    load = ModelLoad()
    load.away(now=5.0)
    assert not load.ready(now=5.9)
    assert load.ready(now=6.0)


def test_a_probe_has_the_last_word_for_three_seconds() -> None:
    load = ModelLoad()
    load.probed(ready=False, now=5.0)
    load.away(now=5.5)
    assert not load.ready(now=7.9)
    assert load.ready(now=8.0)
    load.probed(ready=False, now=9.0)
    load.probed(ready=True, now=9.5)
    assert load.ready(now=9.5)
