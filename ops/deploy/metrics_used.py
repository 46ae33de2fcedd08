"""The metrics that the dashboard and the alert rules ask for, against those that `ops/metrics.md` promises.

python -m ops.deploy.metrics_used      each metric, and which panels and rules name it; exit code 1 for unknown ones
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

OPS = Path(__file__).resolve().parents[1]
CONTRACT = OPS / "metrics.md"
DASHBOARD = OPS / "helm" / "headway" / "files" / "dashboard.json"
ALERTS = OPS / "helm" / "headway" / "files" / "alerts.yaml"

SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}
"""The series of one metric, where they are not called as it is."""

TARGET_LABELS = frozenset({"job", "instance", "namespace", "pod"})
"""Set by Prometheus or by who discovers the target, on every series."""
BUCKET_LABEL = "le"

_ROW = re.compile(r"\| `(?P<name>\w+)` \| (?P<type>\w+) \|(?P<labels>[^|]*)\| (?P<exporter>[^|]*) \|")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_SELECTOR = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)?\s*\{(?P<matchers>[^}]*)\}")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\((?P<labels>[^)]*)\)")
_RANGE = re.compile(r"\[[^\]]*\]")
_NAME = re.compile(r"(?<![\w.$])(?P<name>[a-zA-Z_:][\w:]*)\b(?!\s*\()")
_WORDS = frozenset({"and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring", "inf", "nan"})


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the contract."""

    name: str
    type: str
    labels: frozenset[str]
    exporter: str

    def series(self) -> tuple[str, ...]:
        """The names under which it can be asked for."""
        return tuple(self.name + suffix for suffix in SUFFIXES.get(self.type, ("",)))


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression and where it stands."""

    place: str
    text: str

    def series(self) -> frozenset[str]:
        """The names of the series that it reads."""
        text = _STRING.sub('""', self.text)
        text = _SELECTOR.sub(lambda selector: f"{selector['name'] or ''} ", text)
        text = _RANGE.sub(" ", _GROUPING.sub(" ", text))
        return frozenset(found["name"] for found in _NAME.finditer(text) if found["name"].lower() not in _WORDS)

    def labels(self) -> frozenset[str]:
        """The labels that it selects or groups by."""
        text = _STRING.sub('""', self.text)
        matched = (
            re.split(r"[=!]", matcher, maxsplit=1)[0].strip()
            for selector in _SELECTOR.finditer(text)
            for matcher in selector["matchers"].split(",")
        )
        grouped = (label.strip() for group in _GROUPING.finditer(text) for label in group["labels"].split(","))
        return frozenset(label for label in (*matched, *grouped) if label)


def contract(path: Path = CONTRACT) -> dict[str, Metric]:
    """The promised metrics by name."""
    rows = (_ROW.match(line) for line in path.read_text(encoding="utf-8").splitlines())
    metrics = [
        Metric(row["name"], row["type"], frozenset(re.findall(r"`(\w+)`", row["labels"])), row["exporter"].strip())
        for row in rows
        if row
    ]
    return {metric.name: metric for metric in metrics}


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The panels of a Grafana dashboard, rows and what is folded into them included."""
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", [])


def dashboard_queries(path: Path = DASHBOARD) -> Iterator[Query]:
    """What the panels and the variables of a Grafana dashboard ask for."""
    dashboard = json.loads(path.read_text(encoding="utf-8"))
    for panel in panels(dashboard):
        for target in panel.get("targets", []):
            yield Query(f"panel '{panel['title']}'", target["expr"])
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            values_of = re.fullmatch(r"label_values\((?P<expr>.+), (?P<label>\w+)\)", variable["definition"])
            if values_of is None:
                raise ValueError(f"variable {variable['name']}: {variable['definition']} is not label_values(…, …)")
            place = f"variable '{variable['name']}'"
            yield Query(place, f"count by ({values_of['label']}) ({values_of['expr']})")


def rules(path: Path = ALERTS) -> Iterator[dict[str, Any]]:
    """The recording and alert rules of a Prometheus rule file."""
    for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
        yield from group["rules"]


def alert_queries(path: Path = ALERTS) -> Iterator[Query]:
    """What the rules ask for."""
    for rule in rules(path):
        yield Query(f"rule {rule.get('alert') or rule['record']}", rule["expr"])


def recorded(path: Path = ALERTS) -> frozenset[str]:
    """The series that recording rules make."""
    return frozenset(rule["record"] for rule in rules(path) if "record" in rule)


def problems(queries: list[Query], metrics: dict[str, Metric], made: frozenset[str]) -> Iterator[str]:
    """A line for each series that nobody exports and each label that none of a query's metrics has.

    `made` are the recording rules' series, whose labels are those of what they are made of and not looked at here.
    """
    by_series = {series: metric for metric in metrics.values() for series in metric.series()}
    for query in queries:
        read = query.series()
        for series in sorted(read - by_series.keys() - made):
            yield f"{query.place}: {series} is not in metrics.md"
        if read & made:
            continue
        known = TARGET_LABELS.union(*(by_series[series].labels for series in read if series in by_series))
        if any(series.endswith("_bucket") for series in read):
            known |= {BUCKET_LABEL}
        for label in sorted(query.labels() - known):
            yield f"{query.place}: none of {', '.join(sorted(read))} has a label {label}"


def main() -> int:
    """Print which panels and rules use each metric; the exit code."""
    metrics, queries = contract(), [*dashboard_queries(), *alert_queries()]
    for metric in metrics.values():
        users = [query.place for query in queries if query.series() & set(metric.series())]
        print(f"{metric.name}: {', '.join(dict.fromkeys(users)) or 'nobody'}")
    lines = list(problems(queries, metrics, recorded()))
    for line in lines:
        print(line, file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
