from __future__ import annotations

from ops.deploy.metrics_used import Metric, contract
from proxy.telemetry import metric_names


def test_they_are_those_that_operators_are_promised() -> None:
    promised = {
        metric.name: (metric.type, metric.labels)
        for metric in contract().values()
        if metric.name.startswith("headway_")
    }
    assert {metric.name: (metric.kind, frozenset(metric.labels)) for metric in metric_names.ALL} == promised


def test_all_are_listed_once() -> None:
    assert len({metric.name for metric in metric_names.ALL}) == len(metric_names.ALL) > 30
    assert metric_names.REQUESTS in metric_names.ALL


def test_each_has_a_sentence_of_help() -> None:
    assert [metric.name for metric in metric_names.ALL if not metric.help.endswith(".")] == []


def test_series_of_the_contract_know_the_endings() -> None:
    assert Metric("x", "summary", frozenset(), "daemon").series() == ("x_sum", "x_count")
