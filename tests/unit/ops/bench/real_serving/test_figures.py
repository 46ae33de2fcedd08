"""What answers come to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ops.bench.real_serving.figures import difference, lateness, metrics, result_of
from ops.bench.real_serving.requests import Answer
from policies.simulation.trace import Trace, draw
from policies.simulation.workload import Workload
from policies.simulation.workload_file import read_workload

WORKLOAD = read_workload("stable")


def first_of(count: int, workload: Workload = WORKLOAD) -> Trace:
    trace = draw(workload, 1)
    return Trace(*(getattr(trace, name)[:count] for name in Trace.__slots__))


def answer(at: float, model: str = "llm-large") -> Answer:
    return Answer(at - 0.1, at, at, 0.0, model, "OK")


def test_answers_in_time_earn_the_quality_of_who_answered() -> None:
    trace = first_of(2)
    due = [at - 0.051 for at in trace.deadline_at]  # the way back takes 0.05 s
    result = result_of(WORKLOAD, "greedy", 1, trace, [answer(due[0]), answer(due[1], "llm-small")])
    weights = [WORKLOAD.classes[kind].traffic.weight for kind in trace.kind]
    expected = (weights[0] * 0.71 + weights[1] * 0.48) / (sum(weights) * 0.71)
    assert result.score == pytest.approx(expected)
    assert result.on_time == 1.0
    assert result.models == {"large": 0.5, "medium": 0.0, "small": 0.5}
    late = result_of(WORKLOAD, "greedy", 1, trace, [answer(due[0] + 0.002), answer(due[1])])
    assert late.on_time == 0.5


def test_what_was_not_answered_is_told_apart() -> None:
    trace = first_of(4)
    answers = [
        Answer(0.0, None, None, 0.0, "", "RESOURCE_EXHAUSTED"),
        Answer(0.0, None, None, 0.0, "", "GIVEN_UP"),
        Answer(0.0, None, None, 0.0, "", "UNAVAILABLE"),
        Answer(0.0, 0.1, 0.1, 0.0, "elsewhere", "OK"),
    ]
    result = result_of(WORKLOAD, "greedy", 1, trace, answers)
    assert (result.score, result.shed, result.failed) == (0.0, 0.25, 0.5)


def test_a_stream_must_keep_its_pace_and_come_to_its_end() -> None:
    workload = read_workload("tokens")
    trace = first_of(1, workload)
    good = Answer(0.0, trace.arrived_at[0] + 0.1, trace.arrived_at[0] + 5.0, 0.5, "llm-small", "OK")
    assert result_of(workload, "x", 1, trace, [good]).on_time == 1.0
    assert result_of(workload, "x", 1, trace, [replace(good, longest_gap_s=3.0)]).on_time == 0.0
    assert result_of(workload, "x", 1, trace, [replace(good, done_at=None, status="GIVEN_UP")]).on_time == 0.0


def test_figures_and_their_difference() -> None:
    trace = first_of(2)
    one = metrics(result_of(WORKLOAD, "greedy", 1, trace, [answer(at - 0.1) for at in trace.deadline_at]))
    none = metrics(result_of(WORKLOAD, "greedy", 1, trace, [Answer(0.0, None, None, 0.0, "", "GIVEN_UP")] * 2))
    assert one["score"] == one["on_time"] == 1.0
    assert one["by_class"].keys() == {"realtime", "standard", "bulk"}
    apart = difference(one, none)
    assert apart["score"] == 1.0
    assert apart["models"] == {"large": 1.0, "medium": 0.0, "small": 0.0}
    assert "p50_s" not in apart


def test_how_late_the_client_was() -> None:
    sent = [Answer(at, None, None, 0.0, "", "OK") for at in (1.0, 2.001, 3.5)]
    late = lateness(sent, [1.0, 2.0, 3.0])
    assert late == {"p50_s": pytest.approx(0.001), "p99_s": 0.5, "longest_s": 0.5}
