"""The Grafana dashboard as a file. What its queries ask for: test_metrics_used."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import promql_parser
import yaml

from ops.deploy.metrics_used import DASHBOARD, OPS, dashboard_queries, panels

FILE: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
PANELS = list(panels(FILE))
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def test_panels_have_ids_and_titles_of_their_own() -> None:
    assert [ident for ident, times in Counter(panel["id"] for panel in PANELS).items() if times > 1] == []
    assert [title for title, times in Counter(panel["title"] for panel in PANELS).items() if times > 1] == []


def test_no_panel_lies_on_another_one() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in FILE["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} on {taken[x, y]}"
                taken[x, y] = panel["title"]


def test_every_panel_asks_the_data_source_that_the_user_picks() -> None:
    asking = [panel for panel in PANELS if panel["type"] != "row"]
    assert all(panel["targets"] for panel in asking)
    assert [panel["title"] for panel in asking if panel["datasource"] != SOURCE] == []
    assert [variable["type"] for variable in FILE["templating"]["list"] if variable["name"] == "datasource"] == [
        "datasource"
    ]


def test_targets_of_a_panel_have_references_of_their_own() -> None:
    for panel in PANELS:
        references = [target["refId"] for target in panel.get("targets", [])]
        assert len(references) == len(set(references)), panel["title"]


def test_what_the_issue_asks_to_see_is_there() -> None:
    rows = [panel["title"] for panel in PANELS if panel["type"] == "row"]
    assert rows == ["Deadlines", "Models", "Tunnel", "Queues", "Triton", "Processes"]
    assert {
        "In time, by class",
        "Where deadlines are missed",
        "Slack that is left, 5th percentile",
        "Model mix",
        "Effective accuracy, by class",
        "Round trip",
        "Delivery rate",
        "Congestion window",
        "Packets lost",
        "Streams that wait to send",
        "Scheduler",
    } <= {panel["title"] for panel in PANELS}


def test_the_compose_files_grafana_finds_it() -> None:
    provider = yaml.safe_load((OPS / "compose" / "grafana" / "dashboards.yaml").read_text())["providers"][0]
    compose = yaml.safe_load((OPS / "compose" / "compose.yaml").read_text())
    mounts = [mount.split(":") for mount in compose["services"]["grafana"]["volumes"]]
    inside = [target for source, target, *_ in mounts if (OPS / "compose" / source).resolve() == DASHBOARD]
    assert inside == [f"{provider['options']['path']}/headway.json"]


def test_queries_are_promql() -> None:
    for query in dashboard_queries():
        text = query.text.replace("$__rate_interval", "1m").replace("$__range", "30m")
        assert promql_parser.parse(text) is not None, query.place
