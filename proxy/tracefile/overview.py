"""Draws the summary of many calls as tables."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from proxy.tracefile.calls import Call
from proxy.tracefile.numbers import DASH, milliseconds, percent, times
from proxy.tracefile.stages import label
from proxy.tracefile.summary import ClassSummary, StageSummary, by_class, by_stage

LISTED = 5
"""Calls in the list of the slowest and in that of the misses."""
MOST_FAILURES = 5
"""Kinds of failure that are named, the most frequent first."""
ID_LENGTH = 12
"""Characters of an id that are shown: 48 bits tell millions of traces apart."""


def overview(calls: Sequence[Call]) -> RenderableType:
    """By class, by stage, which models answered, and the calls worth a look."""
    classes, stages = by_class(calls), by_stage(calls)
    parts: list[RenderableType] = [_class_table(classes)]
    failures = Counter(f"{call.method.rpartition('/')[2]} {call.status}" for call in calls if call.failed)
    if failures:
        parts.append("Failed: " + ", ".join(f"{number} {what}" for what, number in failures.most_common(MOST_FAILURES)))
    if (models := _model_table(classes)) is not None:
        parts += ["", models]
    if stages:
        parts += ["", _stage_table(stages, [one.name for one in classes if one.missed])]
    missed = sorted((call for call in calls if call.missed), key=lambda call: call.slack_ms or 0.0)
    if missed:
        parts += ["", call_table("Furthest past their deadlines", missed[:LISTED])]
    slowest = sorted(calls, key=lambda call: -call.duration_ms)[:LISTED]
    if [call.span_id for call in slowest] != [call.span_id for call in missed[:LISTED]]:
        parts += ["", call_table("Slowest", slowest)]
    return Group(*parts)


def period(calls: Sequence[Call]) -> str:
    """From the first call's start to the last one's, in UTC; calls come oldest first."""
    first, last = (datetime.fromtimestamp(call.start_ns / 1e9, UTC) for call in (calls[0], calls[-1]))
    until = f"{last:%H:%M:%S}" if first.date() == last.date() else f"{last:%Y-%m-%d %H:%M:%S}"
    return f"{first:%Y-%m-%d %H:%M:%S} to {until} UTC"


def call_table(title: str, calls: Iterable[Call]) -> Table:
    """A line for each call, milliseconds."""
    table = _table(title)
    for heading in ("trace", "class"):
        table.add_column(heading, no_wrap=True)
    for heading in ("took", "deadline", "left"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("ran out in", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for call in calls:
        table.add_row(
            call.trace_id[:ID_LENGTH],
            call.traffic_class,
            milliseconds(call.duration_ms),
            _optional(call.deadline_ms),
            Text(_optional(call.slack_ms), style="red" if call.missed else ""),
            label(call.missed_at) if call.missed_at else DASH,
            call.status,
        )
    return table


def _class_table(classes: Sequence[ClassSummary]) -> Table:
    table = _table("By class, in milliseconds")
    table.add_column("class", no_wrap=True)
    for heading in ("deadline", "calls", "on time", "missed", "failed", "p50", "p99"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in classes:
        style = "green" if one.on_time == one.calls else "yellow" if one.missed == 0 else "red"
        table.add_row(
            one.name,
            times(*one.deadlines_ms) if one.deadlines_ms else DASH,
            str(one.calls),
            Text(percent(one.on_time, one.calls), style=style),
            str(one.missed),
            str(one.failed),
            milliseconds(one.p50_ms),
            milliseconds(one.p99_ms),
        )
    return table


def _model_table(classes: Sequence[ClassSummary]) -> Table | None:
    models = sorted({model for one in classes for model in one.models})
    if not models:
        return None
    table = _table("Answered by")
    table.add_column("class", no_wrap=True)
    for model in models:
        table.add_column(model, justify="right", overflow="fold")
    for one in classes:
        if one.models:
            table.add_row(one.name, *(str(one.models[model]) for model in models))
    return table


def _stage_table(stages: Sequence[StageSummary], classes: Sequence[str]) -> Table:
    """Where deadlines ran out, and how long calls spend there."""
    total = sum(stage.misses.total() for stage in stages)
    table = _table("Where deadlines ran out, and the milliseconds spent there")
    table.add_column("stage", no_wrap=True)
    table.add_column("misses", justify="right", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    for name in classes if len(classes) > 1 else ():
        table.add_column(name, justify="right", overflow="fold")
    for heading in ("p50 on time", "p50 missed", "p99"):
        table.add_column(heading, justify="right")
    worst = max((stage.misses.total() for stage in stages), default=0)
    for stage in stages:
        here = stage.misses.total()
        table.add_row(
            label(stage.name),
            str(here) if here else DASH,
            percent(here, total) if here else DASH,
            *(str(stage.misses[name] or DASH) for name in (classes if len(classes) > 1 else ())),
            milliseconds(stage.median_on_time_ms),
            milliseconds(stage.median_missed_ms),
            milliseconds(stage.p99_ms),
            style="red" if here and here == worst else None,
        )
    return table


def _table(title: str) -> Table:
    return Table(
        box=None, pad_edge=False, padding=(0, 2, 0, 0), title=title, title_justify="left", title_style="bold",
        header_style="dim",
    )  # fmt: skip


def _optional(value: float | None) -> str:
    return milliseconds(math.nan if value is None else value)
