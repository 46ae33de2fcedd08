"""The results of `overhead` on the terminal: latency, then rate and CPU time, then headway against its peers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

Row = Mapping[str, Any]

ENVOYS = ("envoy-h3", "envoy-h2")


def print_tables(summary: Sequence[Row], console: Console) -> None:
    """Two tables with one row a cell and path: medians over the rounds, lowest and highest in brackets."""
    console.print(
        _table(
            "Latency in ms, and what a path adds to the median call: median over the rounds (lowest to highest)",
            summary,
            {
                "p50": lambda row: figure(row, "p50_s", 1e3, 2),
                "p99": lambda row: figure(row, "p99_s", 1e3, 2, extremes=False),
                "added p50": lambda row: figure(row, "added_p50_s", 1e3, 2, extremes=False),
                "in bare hops": lambda row: figure(row, "added_hops", 1, 2),
            },
        )
    )
    envoys = [name for name in ENVOYS if any(row["peer"] == name for row in summary)]
    console.print(
        _table(
            "Calls per second, as a multiple of another path's, and the path's CPU time in ms a call",
            summary,
            {
                "calls/s": lambda row: figure(row, "calls_per_s", 1, 0),
                **{f"× {other}": _ratio_to(other) for other in ("direct", "hop", *envoys)},
                "CPU": lambda row: figure(row, "cpu_s_per_call", 1e3, 2, extremes=False),
            },
        )
    )


def print_verdicts(summary: Sequence[Row], console: Console) -> None:
    """Headway against its peers in one line each: added latency in bare hops, rate against the Envoys."""
    for row in summary:
        if not row["peer"].startswith("headway-"):
            continue
        parts = []
        if row["callers"] == 1 and "added_hops" in row["median"]:
            parts.append(f"adds {figure(row, 'added_hops', 1, 2)} bare hops to p50")
        parts.extend(
            f"{figure(row, f'rate_to_{other}', 1, 2)} × the calls per second of {other}"
            for other in ENVOYS
            if f"rate_to_{other}" in row["median"]
        )
        if parts:
            where = f"{size(row['body_bytes'])}, {row['callers']} callers"
            if row["idle_streams"]:
                where += f", {row['idle_streams']} other streams"
            console.print(f"[bold]{row['peer']}[/] at {where}: {'; '.join(parts)}", highlight=False)


def size(size_bytes: int) -> str:
    """A size as people say it."""
    return f"{size_bytes} B" if size_bytes < 1024 else f"{size_bytes / 1024:g} KiB"


def figure(row: Row, name: str, factor: float, digits: int, *, extremes: bool = True) -> str:
    """A figure of a row, times `factor`; a dash where the row has none."""
    if name not in row["median"]:
        return "–"
    median, low, high = (f"{row[kind][name] * factor:.{digits}f}" for kind in ("median", "low", "high"))
    return f"{median} ({low} to {high})" if extremes and row["rounds"] > 1 else median


def _table(title: str, summary: Sequence[Row], columns: Mapping[str, Callable[[Row], str]]) -> Table:
    idle = any(row["idle_streams"] for row in summary)
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for heading in (*(["streams"] if idle else []), "body", "callers"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("path", no_wrap=True)
    for heading in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    before: tuple[Any, ...] = ()
    for row in summary:
        cell = (row["idle_streams"], row["body_bytes"], row["callers"])
        if before and cell != before:
            table.add_section()
        shown = (str(cell[0]), size(cell[1]), str(cell[2])) if cell != before else ("", "", "")
        before = cell
        table.add_row(
            *(shown if idle else shown[1:]),
            row["peer"] + _failures(row),
            *(column(row) for column in columns.values()),
        )
    return table


def _ratio_to(other: str) -> Callable[[Row], str]:
    return lambda row: figure(row, f"rate_to_{other}", 1, 2, extremes=False)


def _failures(row: Row) -> str:
    errors = row["high"].get("errors", 0)
    return f" [red]({errors:.0f} failed)[/]" if errors else ""
