from __future__ import annotations

from dataclasses import replace

from policies.simulation.distribution import Constant
from policies.simulation.workload_file import read_workload


def test_the_best_quality_is_any_candidates() -> None:
    workload = read_workload("five")
    assert workload.candidates[0].quality == 0.71
    assert workload.best_quality == 0.80


def test_a_workload_streams_if_answers_have_tokens() -> None:
    workload = read_workload("stable")
    assert not workload.streaming
    streams = replace(workload.classes[0], answer_tokens=Constant(5.0))
    assert replace(workload, classes=(streams,)).streaming
