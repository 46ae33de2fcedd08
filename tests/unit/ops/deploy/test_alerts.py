"""The alert rules as a file. What they ask for: test_metrics_used."""

from __future__ import annotations

import re
from collections import Counter

import promql_parser
import pytest
import yaml

from ops.deploy.metrics_used import OPS, Query, alert_queries, contract, recorded, rules

RULES = list(rules())
ALERTS = [rule for rule in RULES if "alert" in rule]
RECORDED = recorded()
QUERIES = list(alert_queries())
METRICS = contract()
SECTIONS = {
    re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
    for line in (OPS / "runbook.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("## ")
}
"""GitHub's anchors of the runbook's headings."""


def test_names_are_used_once() -> None:
    names = Counter(rule.get("alert") or rule["record"] for rule in RULES)
    assert [name for name, times in names.items() if times > 1] == []


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_what_and_where_to_read_on(rule: dict[str, dict[str, str]]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook"}
    assert rule["annotations"]["runbook"] in SECTIONS


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alerts_text_names_only_labels_that_its_series_have(rule: dict[str, object]) -> None:
    annotations = rule["annotations"]
    assert isinstance(annotations, dict)
    named = set(re.findall(r"\$labels\.(\w+)", " ".join(annotations.values())))
    query = Query("", str(rule["expr"]))
    grouping = re.findall(r"\bby \(([^)]*)\)", query.text)
    if grouping:
        kept = set(re.split(r",\s*", grouping[0]))
    elif query.series() <= RECORDED:
        kept = {"class"}
    else:
        kept = {"job", "instance"}.union(*(METRICS[name].labels for name in query.series()))
    assert named <= kept


def test_what_the_brief_of_an_operator_needs_is_watched() -> None:
    assert {rule["alert"] for rule in ALERTS} >= {
        "HeadwayDeadlinesMissedFast",
        "HeadwayDeadlinesMissedSlow",
        "HeadwayNoTunnel",
        "HeadwayTritonDown",
        "HeadwayNoCandidate",
        "HeadwayPolicyFallback",
        "HeadwaySpansDropped",
        "HeadwayCertificateExpires",
        "HeadwayAway",
    }


def test_every_recorded_series_is_used() -> None:
    used = frozenset().union(*(query.series() for query in QUERIES))
    assert used >= RECORDED


def test_the_jobs_that_rules_name_are_scraped() -> None:
    prometheus = yaml.safe_load((OPS / "compose" / "prometheus.yaml").read_text())
    jobs = {scrape["job_name"] for scrape in prometheus["scrape_configs"]}
    named = {
        job for query in QUERIES for matcher in re.findall(r'job=~?"([^"]+)"', query.text) for job in matcher.split("|")
    }
    assert named == {"headway-proxy", "headway-daemon"}
    assert named <= jobs


def test_expressions_are_promql() -> None:
    for query in QUERIES:
        assert promql_parser.parse(query.text) is not None, query.place
