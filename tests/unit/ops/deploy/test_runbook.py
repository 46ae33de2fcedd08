"""The runbook names what exists: commands, panels, alerts, sections, configuration keys."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from ops.deploy.metrics_used import DASHBOARD, OPS, panels, rules
from proxy.cli import app
from proxy.telemetry.call_metrics import MISS_PLACES
from proxy.telemetry.stages import STAGES
from proxy.top.ends import End
from proxy.top.screen import screen
from tests.unit.top.statuses import daemon_status, proxy_status

TEXT = (OPS / "runbook.md").read_text(encoding="utf-8")
PROSE = " ".join(TEXT.split())
COMMANDS = sorted(
    {
        line.strip()
        for line in re.findall(r"(?<![\w/.-])headway ((?:ctl|check|certs|top|trace)\b[^`#\n…|]*)", TEXT)
        if line.strip() not in {"certs", "ctl", "top", "trace"}  # named in a sentence
    }
)


def _command(words: list[str]) -> Any:
    """The command that they begin with; what is left of them are its arguments."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    return command


@pytest.mark.parametrize("line", COMMANDS)
def test_its_commands_are_taken(line: str, tmp_path: Path) -> None:
    words = [str(tmp_path) if word == "certs" and position else word for position, word in enumerate(line.split())]
    if words[-1] == "--role":  # the line goes on in the next one
        words.append("proxy")
    command = _command(words)
    command.make_context(command.name, words)


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 8


def test_its_panels_are_on_the_dashboard() -> None:
    titles = {panel["title"] for panel in panels(json.loads(DASHBOARD.read_text(encoding="utf-8")))}
    named = set(re.findall(r"(?<!\*)\*([A-Z][^*]+)\*(?!\*)", PROSE))
    assert len(named) > 15
    short = {"In flight": "Congestion window", "Slack that is left": "Slack that is left, 5th percentile"}
    assert {short.get(name, name) for name in named} <= titles


def test_its_words_for_headway_top_are_on_the_page() -> None:
    ends = [End("x:1"), End("x:2")]
    for end, status in zip(ends, (proxy_status(), daemon_status()), strict=True):
        end.heard(status, at=0.0)
    page = "\n".join(line.plain for line in screen(ends, width=300, height=None, now=0.0, interval_s=1.0))
    named = set(re.findall(r"(?<!\*)\*([a-z][^*]+)\*(?!\*)", PROSE))
    assert len(named) > 8
    assert named <= {word for word in named if word in page}


def test_its_alerts_are_the_rules() -> None:
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}
    assert set(re.findall(r"`(Headway\w+)`", TEXT)) == alerts


def test_its_links_lead_to_sections() -> None:
    sections = {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^## (.+)$", TEXT, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([\w-]+)\)", TEXT)) <= sections


def test_its_stages_are_those_of_the_metrics() -> None:
    meaning = (OPS / "metrics.md").read_text(encoding="utf-8")
    (listed,) = re.findall(r"`stage`: ((?:`\w+`(?:, )?)+)", meaning)
    table = TEXT.partition("| stage |")[2].partition("\n\n")[0]
    in_table = {
        stage
        for row in table.splitlines()
        if row.startswith("| `")
        for stage in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    assert in_table == set(MISS_PLACES)
    assert re.findall(r"`(\w+)`", listed) == list(STAGES)
