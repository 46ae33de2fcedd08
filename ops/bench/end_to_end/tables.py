"""The results of `end_to_end` on the terminal: the poster's two tables, and the simulator's beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from ops.bench.end_to_end.grid import column_of
from ops.bench.network.grid import Row

Entry = Mapping[str, Any]

TCP = "TLS/TCP"


def print_tables(
    summary: Sequence[Entry], columns: Sequence[Row], verdicts: Mapping[str, Mapping[str, Any]], console: Console
) -> None:
    """A table for each workload and congestion control: scores, and the simulator's less them; then what they say."""
    for workload in dict.fromkeys(entry["workload"] for entry in summary):
        quic = [entry for entry in summary if entry["workload"] == workload and entry["transport"] == "quic"]
        tcp = [entry for entry in summary if entry["workload"] == workload and entry["transport"] == "tcp"]
        for control in dict.fromkeys(entry["congestion_control"] for entry in quic) if quic else ("",):
            own = [entry for entry in quic if entry["congestion_control"] == control] + tcp
            there = [column for column in columns if any(column_of(entry) == column for entry in own)]
            seeds = " or ".join(str(count) for count in sorted({entry["seeds"] for entry in own}))
            console.print(
                f"[bold]{workload}[/], QUIC with {control or 'nothing'}, seeds: {seeds}. Score, mean ± 95 % interval "
                "(bold: the best cell)",
                highlight=False,
            )
            console.print(_table(own, there, _scores(own)))
            if any(entry["mean"].get("simulated") for entry in own):
                console.print("  the simulator's score less that, in points", highlight=False)
                console.print(_table(own, there, points_off))
            if (verdict := verdicts.get(f"{workload}/{control}")) is not None:
                for line in sentences(verdict):
                    console.print(f"  {line}", highlight=False, markup=False)


CLOSEST = 4
"""Cells that are named beside the best one."""


def score(entry: Entry) -> str:
    """The mean with its interval."""
    half = entry["ci95"].get("score")
    return f"{entry['mean']['score']:.3f}" + (f" ±{half:.3f}" if half is not None else "")


def points_off(entry: Entry) -> str:
    """How far the simulator is above, in hundredths."""
    value = entry["mean"].get("simulated_minus_real")
    return "–" if value is None else f"{value * 100:+.1f}"


def heading(column: Row) -> str:
    """A column's name."""
    return TCP if column.transport == "tcp" else str(column.scheduler)


def sentences(verdict: Mapping[str, Any]) -> list[str]:
    """A verdict in words."""
    best = verdict["best"]
    found = [f"best: {best['cell']}, {best['score']:.3f}"]
    if best["others"]:
        rest = [f"{cell} ({less['mean']:+.3f} ±{less['ci95']:.3f})" for cell, less in best["not_outside"].items()]
        of = f"{best['others'] - len(rest)} of {best['others']} others" if rest else f"all {best['others']} others"
        closest = f"; closest of the rest: {', '.join(rest[:CLOSEST])}" if rest else ""
        found.append(f"seed by seed outside the interval ahead of {of}{closest}")
    if (ratio := verdict["to_tcp"]) is not None:
        found.append(f"dqn over TLS/TCP: {ratio:.2f} times dqn by it")
    if (ratio := verdict["to_static"]) is not None:
        found.append(f"dqn over the best static model with rr, {verdict['static']}: {ratio:.2f} times")
    if verdict["behind_tcp"]:
        found.append(f"not ahead of TLS/TCP: {', '.join(verdict['behind_tcp'])}")
    if verdict["behind_edf"]:
        found.append(f"adaptive behind edf: {', '.join(verdict['behind_edf'])}")
    simulated = verdict["simulated"]
    if (worst := simulated["worst"]) is not None:
        found.append(
            f"simulator within 5 points in {simulated['close']} of {simulated['of']} cells; off most in "
            f"{worst['cell']}: {worst['simulated_minus_real'] * 100:+.1f}"
        )
    return found


def _scores(own: Sequence[Entry]) -> Callable[[Entry], str]:
    best = max(own, key=lambda entry: float(entry["mean"]["score"]))

    def shown(entry: Entry) -> str:
        return f"[bold]{score(entry)}[/]" if entry is best else score(entry)

    return shown


def _table(own: Sequence[Entry], columns: Sequence[Row], figure: Callable[[Entry], str]) -> Table:
    by_place = {(entry["policy"], column_of(entry)): entry for entry in own}
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    table.add_column("policy", no_wrap=True)
    for column in columns:
        table.add_column(heading(column), justify="right", no_wrap=True)
    for policy in dict.fromkeys(entry["policy"] for entry in own):
        found = (by_place.get((policy, column)) for column in columns)
        table.add_row(policy, *("–" if one is None else figure(one) for one in found))
    return table
