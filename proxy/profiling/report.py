"""What was measured, as people and as programs read it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from policies.profile_file import Point, ProfileEntry, to_mapping

_WHAT: Mapping[str, str] = {
    "batch": "batch of {at}",
    "size": "payload of {at}",
    "callers": "{at} at once",
    "first_token": "first message, prompt of {at}",
    "next_token": "next message, {at} streams",
}
"""By kind of point."""


def what(kind: str, at: int) -> str:
    """A point in words."""
    return _WHAT[kind].format(at=at)


def as_json(done: Sequence[tuple[Path, ProfileEntry]]) -> str:
    """What was measured, for programs: the files' content, each with its path."""
    return json.dumps([{"file": str(path), **to_mapping(found)} for path, found in done], ensure_ascii=False, indent=2)


def table(done: Sequence[tuple[Path, ProfileEntry]]) -> Table:
    """What was measured, for people."""
    shown = Table("model", "measured", "median", "95 %", "spread", "samples", box=None, pad_edge=False)
    for column in shown.columns[2:]:
        column.justify = "right"
    for _, found in done:
        for index, point in enumerate(found.points):
            shown.add_row(found.model if index == 0 else "", *_cells(point))
    return shown


def notes(done: Sequence[tuple[Path, ProfileEntry]]) -> list[str]:
    """A line for each file, and for each thing that its reader must know."""
    lines = []
    for path in dict.fromkeys(path for path, _ in done):
        lines.append(f"wrote {path}")
        for file, found in done:
            if file == path and found.origin is not None:
                lines += [f"  {found.model}: {note}" for note in found.origin.notes]
    return lines


def _cells(point: Point) -> tuple[str, ...]:
    times = (f"{seconds * 1000:.2f} ms" for seconds in (point.median_s, point.p95_s))
    return (what(point.kind, point.at), *times, f"{point.deviation_s / point.mean_s:.0%}", str(point.samples))
