from __future__ import annotations

import math
from collections.abc import Hashable

import pytest

from policies.profile import Profile, TokenProfile
from proxy.daemon.load import LoadStatistics, ModelLoad
from proxy.errors import Code

STREAMS = Profile(
    ((1, 0.1),), tokens=TokenProfile(prefill_s_per_token=0.0, prefill_base_s=0.05, step_s=((1, 0.1),), max_sequences=1)
)


def answer(load: ModelLoad, latency_s: float, code: Code = Code.OK, now: float = 10.0) -> None:
    key = object()
    load.sent(key, now=now - latency_s)
    load.finished(key, code, now=now)


def test_a_model_nobody_has_asked_yet_is_ready_and_idle() -> None:
    candidate = ModelLoad("llm-large", "a").account.candidate(quality=0.7, now=0.0)
    assert (candidate.name, candidate.instance, candidate.quality) == ("llm-large", "a", 0.7)
    assert candidate.ready
    assert (candidate.load, candidate.latency_s, candidate.error_rate, candidate.slow_down) == (0, None, 0.0, 1.0)


def test_requests_under_way_are_counted_and_leave_the_count_however_they_end() -> None:
    load = ModelLoad("m", "a")
    for key in "xyz":
        load.sent(key, now=0.0)
    assert load.account.candidate(now=0.0).running == 3
    load.finished("x", Code.OK, now=0.25)
    load.finished("y", Code.INTERNAL, now=0.25)
    load.abandoned("z", now=0.25)
    assert load.account.candidate(now=0.25).running == 0
    assert load.statistics() == LoadStatistics(running=0, finished=2, failed=1, abandoned=1)
    assert repr(load) == "<ModelLoad 2 finished, 1 failed, <CandidateAccount m 0 running, 0 waiting>>"


def test_failures_have_no_latency() -> None:
    load = ModelLoad("m", "a")
    answer(load, 5.0, Code.INTERNAL)
    assert load.account.candidate(now=10.0).latency_s is None
    answer(load, 0.5)
    assert load.account.candidate(now=10.0).latency_s == pytest.approx(0.5)


def test_the_error_rate_counts_the_model_s_faults_only_and_fades() -> None:
    load = ModelLoad("m", "a")
    answer(load, 0.1, Code.INVALID_ARGUMENT)
    assert load.account.error_rate(now=10.0) == 0.0
    for _ in range(30):
        answer(load, 0.1, Code.INTERNAL)
    assert load.account.error_rate(now=10.0) == pytest.approx(1.0, abs=0.01)
    assert load.account.error_rate(now=20.0) == pytest.approx(0.5, abs=0.01)
    answer(load, 0.1, Code.NOT_FOUND)
    assert load.account.error_rate(now=10.0) == pytest.approx(0.8, abs=0.01)


def test_with_a_profile_it_predicts() -> None:
    load = ModelLoad("m", "a", profile=Profile(((1, 0.1), (4, 0.4))))
    load.sent("x", now=0.0)
    candidate = load.account.candidate(now=0.0)
    assert (candidate.running, candidate.batch) == (1, 1)
    assert candidate.predicted_finish_at == pytest.approx(0.2)
    load.began("x", now=0.05)
    load.finished("x", Code.OK, messages=3, now=0.2)
    assert load.account.candidate(now=0.2).slow_down == pytest.approx(1.2)


@pytest.mark.parametrize(
    ("profile", "streaming", "begun_at"),
    [
        (None, False, 0.0),
        (Profile(((1, 0.1),)), False, 5.0),
        (Profile(((1, 0.1),)), True, 5.0),
        (STREAMS, False, 0.0),
        (STREAMS, True, 5.15),
    ],
)
def test_when_the_model_began_is_what_its_profile_tells(
    profile: Profile | None, streaming: bool, begun_at: float
) -> None:
    load = ModelLoad("m", "a", profile=profile)
    load.sent("x", now=5.0)
    assert load.begun_at("x", streaming=streaming, now=5.2) == pytest.approx(begun_at)


def test_a_request_behind_another_waits() -> None:
    load = ModelLoad("m", "a", profile=Profile(((1, 0.1),)))
    load.sent("x", now=5.0)
    load.sent("y", now=5.0)
    assert load.begun_at("y", streaming=False, now=5.05) == math.inf


class Watching:
    def __init__(self) -> None:
        self.told: list[object] = []

    def sent(self, load: ModelLoad, key: Hashable, *, now: float) -> None:
        self.told.append(("sent", key, now))

    def ended(self, load: ModelLoad, key: Hashable, *, answered: bool, now: float) -> None:
        self.told.append(("answered" if answered else "ended", key, now))

    def readiness_changed(self) -> None:
        self.told.append("readiness")


def test_a_watcher_is_told_what_happens_until_it_watches_no_more() -> None:
    load, watching = ModelLoad("m", "a"), Watching()
    load.sent("before", now=0.0)
    load.watch(watching)
    for at, (key, code) in enumerate((("x", Code.OK), ("y", Code.INTERNAL), ("z", Code.INVALID_ARGUMENT))):
        load.sent(key, now=at)
        load.finished(key, code, now=at + 0.5)
    load.abandoned("before", now=4.0)
    assert watching.told == [
        ("sent", "x", 0),
        ("answered", "x", 0.5),
        ("sent", "y", 1),
        ("ended", "y", 1.5),
        ("sent", "z", 2),
        ("ended", "z", 2.5),
        ("ended", "before", 4.0),
    ]
    load.unwatch(watching)
    load.sent("after", now=5.0)
    assert len(watching.told) == 7
    assert dict(load.under_way) == {"after": 5.0}


def test_a_watcher_is_told_of_a_model_that_goes_or_comes_back_and_of_no_probe_that_says_nothing_new() -> None:
    load, watching = ModelLoad("m", "a"), Watching()
    load.watch(watching)
    load.probed(ready=True, now=0.0)
    assert watching.told == []
    load.probed(ready=False, now=1.0)
    load.probed(ready=False, now=2.0)
    load.probed(ready=True, now=3.0)
    load.away(now=4.0)
    assert watching.told == ["readiness"] * 3
    assert load.account.ready_at == 5.0
