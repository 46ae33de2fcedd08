from __future__ import annotations

import json
from pathlib import Path

import pytest

from ops.deploy.metrics_used import (
    Metric,
    Query,
    alert_queries,
    contract,
    dashboard_queries,
    main,
    problems,
    recorded,
)

CALLS = Metric("headway_requests_total", "counter", frozenset({"class", "outcome"}), "proxy")
SLACK = Metric("headway_slack_seconds", "histogram", frozenset({"class"}), "proxy")


@pytest.mark.parametrize(
    ("text", "series"),
    [
        ("headway_calls", {"headway_calls"}),
        ('sum by (class) (rate(a{b="c and d"}[5m])) / sum(b)', {"a", "b"}),
        ("rate(a[5m]) / ignoring (model) group_left () sum by (route) (rate(b[5m]))", {"a", "b"}),
        ("histogram_quantile(0.99, sum by (le) (rate(a_bucket[$__rate_interval])))", {"a_bucket"}),
        ("(min(a) - time()) / 86400 > 14 * 1e3 or vector(0)", {"a"}),
        ("x:y:rate5m > 6 * 0.01 and a unless b", {"x:y:rate5m", "a", "b"}),
        ('{job="x"}', set()),
    ],
)
def test_the_series_of_a_query(text: str, series: set[str]) -> None:
    assert Query("here", text).series() == series


def test_the_labels_of_a_query() -> None:
    text = 'sum by (job, le) (rate(a{class=~"x,y",outcome!="late"}[5m])) / on (z) b'
    assert Query("here", text).labels() == {"job", "le", "class", "outcome", "z"}


def test_the_series_of_a_metric() -> None:
    assert CALLS.series() == ("headway_requests_total",)
    assert SLACK.series() == (
        "headway_slack_seconds_bucket",
        "headway_slack_seconds_sum",
        "headway_slack_seconds_count",
    )


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('sum by (class, instance) (headway_requests_total{outcome="late"})', []),
        ("sum by (le) (headway_slack_seconds_bucket)", []),
        ("made:up:rate5m", []),
        ("headway_request_total", ["panel: headway_request_total is not in metrics.md"]),
        ("headway_slack_seconds", ["panel: headway_slack_seconds is not in metrics.md"]),
        ("sum by (model) (headway_requests_total)", ["panel: none of headway_requests_total has a label model"]),
        ("sum by (le) (headway_requests_total)", ["panel: none of headway_requests_total has a label le"]),
    ],
)
def test_what_is_wrong_with_a_query(text: str, lines: list[str]) -> None:
    metrics = {metric.name: metric for metric in (CALLS, SLACK)}
    assert list(problems([Query("panel", text)], metrics, frozenset({"made:up:rate5m"}))) == lines


def test_the_contract_is_read_from_its_tables(tmp_path: Path) -> None:
    table = tmp_path / "metrics.md"
    table.write_text(
        "| name | type |\n| `a_total` | counter | `x`, `y` | proxy | text |\n| `up` | gauge | | Prometheus | 1 |\n"
    )
    assert contract(table) == {
        "a_total": Metric("a_total", "counter", frozenset({"x", "y"}), "proxy"),
        "up": Metric("up", "gauge", frozenset(), "Prometheus"),
    }


def test_a_dashboards_queries_are_those_of_its_panels_rows_and_variables(tmp_path: Path) -> None:
    dashboard = tmp_path / "dashboard.json"
    panel = {"title": "inner", "targets": [{"expr": "a"}]}
    variable = {"name": "class", "type": "query", "definition": "label_values(b, class)"}
    dashboard.write_text(
        json.dumps({"panels": [{"title": "row", "panels": [panel]}], "templating": {"list": [variable]}})
    )
    assert list(dashboard_queries(dashboard)) == [
        Query("panel 'inner'", "a"),
        Query("variable 'class'", "count by (class) (b)"),
    ]


def test_a_rule_files_queries(tmp_path: Path) -> None:
    rules = tmp_path / "alerts.yaml"
    rules.write_text("groups:\n- rules:\n  - {record: 'a:b', expr: c}\n  - {alert: D, expr: e}\n")
    assert list(alert_queries(rules)) == [Query("rule a:b", "c"), Query("rule D", "e")]
    assert recorded(rules) == {"a:b"}


def test_the_dashboard_and_the_rules_ask_for_nothing_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 0, capsys.readouterr().err


def test_metrics_are_named_as_prometheus_asks() -> None:
    ours = [metric for metric in contract().values() if metric.name.startswith("headway_")]
    assert len(ours) > 20
    for metric in ours:
        assert metric.name.endswith("_total") == (metric.type == "counter"), metric.name
        assert not metric.name.endswith(("_ms", "_milliseconds", "_kb", "_percent")), metric.name
        assert not metric.labels & {"job", "instance", "le"}, metric.name
