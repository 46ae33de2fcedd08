import pytest

from ops.bench.network.metrics import is_on_time, metrics
from ops.bench.network.requests import Outcome
from ops.bench.network.scenario import RequestClass

CLASSES = {
    "urgent": RequestClass("urgent", 10, 1.0, 2.0, 0, "high", 1.0),
    "bulk": RequestClass("bulk", 100, 5.0, 1.0, 1, "low", 1.0),
    "absent": RequestClass("absent", 100, 5.0, 1.0, 1, "low", 1.0),
}


def outcome(traffic_class: str, latency_s: float, status: str = "OK") -> Outcome:
    return Outcome(0, traffic_class, 2.0, 2.0, None, 2.0 + latency_s, status)


OUTCOMES = [
    outcome("urgent", 0.5),
    outcome("urgent", 1.5),
    outcome("urgent", 0.1, "UNAVAILABLE"),
    outcome("bulk", 3.0),
]


def test_on_time_is_a_right_answer_by_the_deadline() -> None:
    assert [is_on_time(item, CLASSES) for item in OUTCOMES] == [True, False, False, True]
    assert is_on_time(outcome("urgent", 1.0), CLASSES)


def test_figures_of_a_cell() -> None:
    found = metrics(OUTCOMES, CLASSES, 6.0)
    assert (found["requests"], found["answered"], found["on_time"]) == (4, 0.75, 0.5)
    assert found["weighted_on_time"] == pytest.approx(3 / 7)
    assert found["bound_share"] == pytest.approx(0.5)
    assert found["score"] is None
    assert (found["p50_s"], found["p99_s"]) == (1.5, 3.0)
    assert list(found["by_class"]) == ["urgent", "bulk"]
    assert found["by_class"]["urgent"] == {
        "requests": 3,
        "answered": pytest.approx(2 / 3),
        "on_time": pytest.approx(1 / 3),
        "p50_s": 0.5,
        "p99_s": 1.5,
        "mean_s": 1.0,
    }


def test_without_answers_and_bound_there_are_no_such_figures() -> None:
    found = metrics([outcome("bulk", 1.0, "UNAVAILABLE")], CLASSES, None)
    assert (found["weighted_on_time"], found["bound_share"], found["mean_s"], found["p99_s"]) == (0.0, None, None, None)
