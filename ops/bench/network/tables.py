"""The results of `network` on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

Entry = Mapping[str, Any]

NAMES = ("transport", "scheduler", "congestion_control")


def print_tables(summary: Sequence[Entry], console: Console) -> None:
    """Shares on time, the bound's share and mean latencies: one row for each row of the grid, one column a load."""
    if not summary:
        return
    best = best_rows(summary)
    classes = list(summary[0]["mean"]["by_class"])
    figures: dict[str, Callable[[Entry], str]] = {
        "On time, weighted, in %: mean of the seeds ± 95 % interval (bold: none is ahead outside the intervals)": (
            lambda entry: _bold(percent(entry, "weighted_on_time"), on=_key(entry) in best)
        ),
        "Share of the clairvoyant bound, in %": lambda entry: percent(entry, "bound_share"),
        f"Mean latency in s: {'/'.join(classes)}": lambda entry: latencies(entry, classes),
    }
    for title, figure in figures.items():
        console.print(title, highlight=False)
        console.print(_table(summary, figure))
    for load in dict.fromkeys(entry["load"] for entry in summary):
        console.print(_verdict(summary, load), highlight=False)


def percent(entry: Entry, name: str) -> str:
    """A share in per cent, with its interval; a dash where there is none."""
    mean, half = entry["mean"].get(name), entry["ci95"].get(name)
    if mean is None:
        return "–"
    return f"{mean * 100:.1f}" + (f" ±{half * 100:.1f}" if half is not None else "")


def latencies(entry: Entry, classes: Sequence[str]) -> str:
    """The mean latency of each class, in as little room as a column has."""
    found = (entry["mean"]["by_class"].get(name, {}).get("mean_s") for name in classes)
    return "/".join("–" if value is None else f"{value:.2f}" if value < 10 else f"{value:.1f}" for value in found)


def best_rows(summary: Sequence[Entry]) -> set[tuple[Any, ...]]:
    """For each load, the entries whose mean is within reach of the highest: their intervals, added, cover the gap."""
    found = set()
    for load in {entry["load"] for entry in summary}:
        some = [entry for entry in summary if entry["load"] == load]
        top = max(some, key=_share)
        for entry in some:
            reach = (entry["ci95"]["weighted_on_time"] or 0.0) + (top["ci95"]["weighted_on_time"] or 0.0)
            if entry is top or _share(top) - _share(entry) <= reach:
                found.add(_key(entry))
    return found


def row_name(entry: Entry) -> str:
    """The row, as texts name it."""
    return "/".join(entry[name] for name in NAMES if entry[name])


def _verdict(summary: Sequence[Entry], load: float | None) -> str:
    some = sorted((entry for entry in summary if entry["load"] == load), key=_share, reverse=True)
    best = best_rows(some)
    where = "all" if load is None else f"load {load:g}"
    first = [f"{row_name(entry)} {_share(entry) * 100:.1f}" for entry in some if _key(entry) in best]
    text = f"[bold]{where}[/]: ahead or level, in %: {', '.join(first[:8])}"
    if len(first) > 8:
        text += f" and {len(first) - 8} more"
    behind = [
        f"{row_name(entry)} is not ahead of {other}"
        for entry in some
        if entry["transport"] == "quic"
        for other, found in entry["ahead_of"].items()
        if found["mean"] <= (found["ci95"] or 0.0)
    ]
    return text + (f"; of {_quic(some)} QUIC rows: {len(behind)} times not ahead of a TLS/TCP row" if behind else "")


def _quic(some: Sequence[Entry]) -> int:
    return sum(entry["transport"] == "quic" for entry in some)


def _share(entry: Entry) -> float:
    return float(entry["mean"]["weighted_on_time"])


def _key(entry: Entry) -> tuple[Any, ...]:
    return (*(entry[name] for name in NAMES), entry["load"])


def _bold(text: str, *, on: bool) -> str:
    return f"[bold]{text}[/]" if on else text


def _table(summary: Sequence[Entry], figure: Callable[[Entry], str]) -> Table:
    loads = list(dict.fromkeys(entry["load"] for entry in summary))
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for heading in ("transport", "scheduler", "congestion"):
        table.add_column(heading, no_wrap=True)
    for load in loads:
        table.add_column("all" if load is None else f"load {load:g}", justify="right", no_wrap=True)
    by_key = {_key(entry): entry for entry in summary}
    before = None
    for row in dict.fromkeys(tuple(entry[name] for name in NAMES) for entry in summary):
        if before is not None and row[0] != before[0]:
            table.add_section()
        shown = row if before is None or row[:2] != before[:2] else ("", "", row[2])
        before = row
        found = (by_key.get((*row, load)) for load in loads)
        table.add_row(*(part or "" for part in shown), *("–" if one is None else figure(one) for one in found))
    return table
