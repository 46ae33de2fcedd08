"""Cells of several seeds → a row for each workload and policy, and the tables of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from ops.bench.figures import spread

Entry = Mapping[str, Any]

STARVED_SHARE = 0.1
"""Of a cell's time. On two cores that other programs used, too, cells whose processes waited 0.04 to 0.1 of it were
within a point of the simulator, some at 0.13 to 0.3 were 3 to 10 points behind, and from 0.4 on 12 to 77."""
KINDS = ("metrics", "simulated", "difference")


def starved(entry: Entry) -> bool:
    """Whether a process waited for a core so long that the cell says more of the machine than of the models."""
    return max(map(float, entry["waited_s"].values())) > STARVED_SHARE * float(entry["seconds"])


def summarise(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """One entry a workload and policy: means and 95 % intervals, of what is real, simulated, and of the difference.

    The difference is taken seed by seed: both have the same arrivals.
    """
    found = []
    for workload, policy in dict.fromkeys((entry["workload"], entry["policy"]) for entry in entries):
        some = [entry for entry in entries if (entry["workload"], entry["policy"]) == (workload, policy)]
        row: dict[str, Any] = {key: some[0].get(key) for key in ("transport", "scheduler", "congestion_control")}
        row |= {"policy": policy, "workload": workload, "load": None, "seeds": len(some)}
        for kind in KINDS:
            names = ("mean", "ci95") if kind == "metrics" else (f"{kind}_mean", f"{kind}_ci95")
            figures = [dict(_flat(entry[kind])) for entry in some]
            spreads = {key: spread([one.get(key) for one in figures]) for key in figures[0]}
            row[names[0]] = _nested({key: None if one is None else one.mean for key, one in spreads.items()})
            row[names[1]] = _nested({key: None if one is None else one.ci95 for key, one in spreads.items()})
        found.append(row)
    return sorted(found, key=lambda row: (row["workload"], row["policy"]))


def _flat(figures: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], float]]:
    for key, value in figures.items():
        if isinstance(value, Mapping):
            yield from _flat(value, (*path, key))
        elif isinstance(value, int | float):
            yield (*path, key), float(value)


def _nested(flat: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path, value in flat.items():
        inside = found
        for key in path[:-1]:
            inside = inside.setdefault(key, {})
        inside[path[-1]] = value
    return found


def print_tables(summary: Sequence[Entry], console: Console) -> None:
    """Scores, shares on time and median latencies, real and simulated."""
    if not summary:
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for heading in ("workload", "policy"):
        table.add_column(heading, no_wrap=True)
    for heading in ("real", "simulated", "difference", "on time", "simulated", "p50 in s", "simulated"):
        table.add_column(heading, justify="right", no_wrap=True)
    before = ""
    for row in summary:
        if before and row["workload"] != before:
            table.add_section()
        shown = row["workload"] if row["workload"] != before else ""
        before = row["workload"]
        table.add_row(shown, row["policy"], *_figures(row))
    console.print(
        "Score × 100 of real models and of the simulator, mean of the seeds ± 95 % interval; shares in %",
        highlight=False,
    )
    console.print(table)


def _figures(row: Entry) -> Iterator[str]:
    real, simulated = row["mean"], row["simulated_mean"]
    yield _percent(real["score"], row["ci95"]["score"])
    yield _percent(simulated["score"], row["simulated_ci95"]["score"])
    yield _percent(row["difference_mean"]["score"], row["difference_ci95"]["score"], sign="+")
    for one in (real, simulated):
        yield _percent(one["on_time"], None)
    for one in (real, simulated):
        yield "–" if one.get("p50_s") is None else f"{one['p50_s']:.3f}"


def _percent(value: float, half: float | None, *, sign: str = "") -> str:
    return f"{value * 100:{sign}.1f}" + ("" if half is None else f" ±{half * 100:.1f}")
