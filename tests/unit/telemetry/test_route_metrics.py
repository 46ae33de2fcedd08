from __future__ import annotations

from proxy.telemetry.route_metrics import CandidateNumbers, RouteMetrics, RouteNumbers
from tests.unit.telemetry.pages import nonzero, values


def test_everything_is_shown_at_0_from_the_start() -> None:
    metrics = RouteMetrics(["realtime", "bulk"])
    RouteNumbers(metrics, "llm", policy="greedy")
    CandidateNumbers(metrics, "llm", model="large", triton="a")
    assert values(metrics.families(), "headway_effective_accuracy_count") == {
        ("realtime", "llm"): 0,
        ("bulk", "llm"): 0,
    }
    assert values(metrics.families(), "headway_model_selected_total") == {
        ("realtime", "llm", "large", "a"): 0,
        ("bulk", "llm", "large", "a"): 0,
    }
    assert values(metrics.families(), "headway_policy_decision_seconds_count") == {("llm", "greedy"): 0}


def test_what_requests_add() -> None:
    metrics = RouteMetrics(["realtime"])
    route = RouteNumbers(metrics, "llm", policy="greedy")
    large = CandidateNumbers(metrics, "llm", model="large", triton="a")
    for worth in (0.7, 0.0, 0.7):
        large.sent("realtime")
        route.decided("greedy", took_s=0.00002)
        route.ended("realtime", worth=worth)
    route.decided("dqn", took_s=0.004)
    large.sent("another")
    route.ended("another", worth=0.5)

    assert nonzero(metrics.families(), "headway_model_selected_total") == {
        ("realtime", "llm", "large", "a"): 3,
        ("another", "llm", "large", "a"): 1,
    }
    assert values(metrics.families(), "headway_effective_accuracy_sum") == {
        ("realtime", "llm"): 1.4,
        ("another", "llm"): 0.5,
    }
    assert values(metrics.families(), "headway_policy_decision_seconds_count") == {
        ("llm", "greedy"): 3,
        ("llm", "dqn"): 1,
    }
