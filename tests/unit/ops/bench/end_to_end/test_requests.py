from pathlib import Path

import pytest

from ops.bench.end_to_end.requests import (
    TokenRequest,
    draw_requests,
    met_deadlines,
    read_outcomes,
    read_requests,
    write_outcomes,
    write_requests,
)
from policies.simulation.trace import draw
from tests.unit.ops.bench.end_to_end.pond import outcomes, scenario

REQUEST = TokenRequest(0, "fast", 1.0, 1000, 10, 3, deadline_s=0.5, token_deadline_s=0.2)


def test_requests_are_those_of_the_simulators_trace_by_arrival() -> None:
    workload = scenario().workloads["stable"]
    trace, requests = draw(workload, 4), draw_requests(workload, 4)
    assert [request.arrival_s for request in requests] == sorted(trace.sent_at)
    assert sum(request.answer_tokens for request in requests) == sum(trace.answer_tokens)
    assert {request.deadline_s for request in requests} <= {0.5, 2.0}


@pytest.mark.parametrize(
    ("over", "met"),
    [
        ({}, True),
        ({"first_s": 1.6}, False),
        ({"first_s": None}, False),
        ({"longest_gap_s": 0.21}, False),
        ({"tokens": 2}, False),
        ({"status": "UNAVAILABLE"}, False),
    ],
)
def test_all_tokens_must_come_each_by_its_own_deadline(over: dict[str, object], *, met: bool) -> None:
    came = {"first_s": 1.4, "longest_gap_s": 0.2, "tokens": 3, "status": "OK", **over}
    assert met_deadlines(REQUEST, **came) is met  # type: ignore[arg-type]


def test_files_keep_requests_and_outcomes(tmp_path: Path) -> None:
    pond = scenario()
    requests = draw_requests(pond.workloads["stable"], 1)
    write_requests(tmp_path / "requests", requests)
    assert tuple(read_requests(tmp_path / "requests")) == requests
    there = outcomes(pond, 1, late=2)
    write_outcomes(tmp_path / "outcomes", there)
    assert read_outcomes(tmp_path / "outcomes") == there
