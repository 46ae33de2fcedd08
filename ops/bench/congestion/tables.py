"""The results of `congestion` on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

Entry = Mapping[str, Any]
Column = Callable[[Entry], str]


def print_tables(summary: Sequence[Entry], console: Console) -> None:
    """One table a part: mean of the seeds, ± 95 % interval where there are several."""
    for part, (title, columns) in _TABLES.items():
        some = [entry for entry in summary if entry["part"] == part]
        if some:
            console.print(title, highlight=False, markup=False)
            console.print(_table(some, columns))
    if some := [entry for entry in summary if entry["part"] == "changes"]:
        console.print(_CHANGES_TITLE, highlight=False, markup=False)
        console.print(_changes_table(some))


def figure(entry: Entry, path: str, factor: float = 1.0, digits: int = 1) -> str:
    """One figure with its interval; a dash where there is none. `path` goes into mappings with dots."""
    mean: Any = entry["mean"]
    half: Any = entry["ci95"]
    for key in path.split("."):
        mean = mean.get(key) if isinstance(mean, Mapping) else None
        half = half.get(key) if isinstance(half, Mapping) else None
    if mean is None:
        return "–"
    return f"{mean * factor:.{digits}f}" + (f" ±{half * factor:.{digits}f}" if half is not None else "")


def _figure(path: str, factor: float = 1.0, digits: int = 1) -> Column:
    return lambda entry: figure(entry, path, factor, digits)


def _setting(entry: Entry) -> tuple[str, ...]:
    direction = "" if entry["direction"] == "both" else entry["direction"]
    return (
        " + ".join(entry["flows"]),
        entry["event"] or "",
        f"{entry['rate_bits_s'] / 1e6:g}",
        f"{entry['loss'] * 100:g}",
        f"{entry['queue_bdp']:g}",
        direction,
    )


_HEADINGS = ("flows", "bulk due", "Mbit/s", "loss %", "queue BDP", "")

_TABLES: dict[str, tuple[str, dict[str, Column]]] = {
    "goodput": (
        "One bulk transfer: goodput in % of the link's rate, whole and after 2 s; queueing delay in ms after 2 s",
        {
            "whole": _figure("goodput_share", 100),
            "after 2 s": _figure("goodput_share_settled", 100),
            "on the wire": _figure("wire_share_settled", 100),
            "mean delay": _figure("queueing_settled_mean_s", 1000, 0),
            "p95": _figure("queueing_settled_p95_s", 1000, 0),
            "dropped %": _figure("dropped_share", 100, 2),
        },
    ),
    "realtime": (
        "Real-time requests on an idle link and under a flood: latency in ms; the link's use under the flood in %",
        {
            "idle p50": _figure("idle.p50_s", 1000, 0),
            "p99": _figure("idle.p99_s", 1000, 0),
            "flood p50": _figure("flood.p50_s", 1000, 0),
            "p99 ": _figure("flood.p99_s", 1000, 0),
            "p50 ratio": _figure("p50_ratio", 1, 2),
            "p99 ratio": _figure("p99_ratio", 1, 2),
            "use up": _figure("flood.up_wire_share", 100, 0),
            "down": _figure("flood.down_wire_share", 100, 0),
        },
    ),
    "fairness": (
        "Two flows, the second joins late: goodput in % of the link's rate from 5 s after it joined",
        {
            "first": _figure("first_share", 100),
            "second": _figure("second_share", 100),
            "second of both": _figure("second_of_both", 100),
            "Jain": _figure("jain", 1, 3),
            "fair after s": _figure("fair_after_s", 1, 1),
            "mean delay ms": _figure("queueing_mean_s", 1000, 0),
        },
    ),
}

_CHANGES_TITLE = (
    "A link that changes: goodput in % of the rate until the next change; seconds until nine tenths of the share before"
    " are back, and until the queue is shorter than a round trip"
)


def _new_table(headings: Sequence[str], columns: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    for heading in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _table(some: Sequence[Entry], columns: Mapping[str, Column]) -> Table:
    settings = [_setting(entry) for entry in some]
    shown = [number for number in range(len(_HEADINGS)) if number == 0 or len({one[number] for one in settings}) > 1]
    table = _new_table([_HEADINGS[number] for number in shown], list(columns))
    before = None
    for entry, setting in zip(some, settings, strict=True):
        if before is not None and setting[0] != before:
            table.add_section()
        before = setting[0]
        table.add_row(*(setting[number] for number in shown), *(column(entry) for column in columns.values()))
    return table


def _changes_table(some: Sequence[Entry]) -> Table:
    table = _new_table(("event", "flow"), ("before", "change", "goodput", "back after", "queue short after"))
    before = None
    for entry in sorted(some, key=lambda one: str(one["event"])):
        if before is not None and entry["event"] != before:
            table.add_section()
        before = entry["event"]
        for number, at in enumerate(entry["mean"]["after"]):
            first = (entry["event"], " + ".join(entry["flows"]), figure(entry, "share_before", 100))
            table.add_row(
                *(first if number == 0 else ("", "", "")),
                f"at {at}",
                figure(entry, f"after.{at}.goodput_share", 100),
                figure(entry, f"after.{at}.recovered_s"),
                figure(entry, f"after.{at}.queue_short_s"),
            )
    return table
