"""A trace as requests."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.bench.real_serving.requests import (
    Answer,
    planned,
    read_answers,
    read_requests,
    write_answers,
    write_requests,
)
from policies.simulation.trace import draw
from policies.simulation.workload_file import read_workload


def test_a_request_leaves_when_it_would_arrive_with_the_time_that_is_left() -> None:
    workload = read_workload("stable")
    trace = draw(workload, 1)
    requests = planned(workload, trace)
    assert [request.at for request in requests] == trace.arrived_at
    budgets = {"realtime": 900.0, "standard": 1900.0, "bulk": 6900.0}
    for request in requests[:50]:
        assert request.deadline_ms == pytest.approx(budgets[request.traffic_class])
        assert request.size_bytes == (102_400 if request.traffic_class == "bulk" else 8192)
        assert request.answer_tokens is None


def test_token_streams_have_prompts_and_lengths() -> None:
    workload = read_workload("tokens")
    trace = draw(workload, 1)
    requests = planned(workload, trace)
    assert [request.answer_tokens for request in requests] == trace.answer_tokens
    assert [request.prompt_tokens for request in requests] == trace.prompt_tokens


def test_one_that_comes_too_late_is_sent_all_the_same() -> None:
    workload = read_workload("stable")
    trace = draw(workload, 1)
    trace.deadline_at[0] = 0.0
    assert planned(workload, trace)[0].deadline_ms == 1.0


def test_files(tmp_path: Path) -> None:
    requests = planned(workload := read_workload("stable"), draw(workload, 1))[:3]
    write_requests(tmp_path / "a", requests)
    assert read_requests(tmp_path / "a") == requests
    answers = [Answer(0.1, None, None, 0.0, "", "UNAVAILABLE"), Answer(0.1, 0.2, 0.3, 0.05, "llm-small", "OK")]
    write_answers(tmp_path / "b", answers)
    assert read_answers(tmp_path / "b") == answers
