"""Cells of several seeds → one entry a row and load: means, 95 % intervals, and paired differences from other rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ops.bench.figures import over, spread
from ops.bench.network.grid import Row, cell_of

Entry = Mapping[str, Any]


def summarise(entries: Sequence[Entry], order: Sequence[Row]) -> list[dict[str, Any]]:
    """The summary of a results file. `ci95` is the half width of Student's interval, None for a single seed.

    `ahead_of` compares `weighted_on_time` with the tcp rows, seed by seed: same arrivals, same losses drawn. A row is
    ahead outside the interval where `mean` exceeds `ci95`.
    """
    found = []
    for load in sorted({entry["load"] for entry in entries}, key=lambda value: value or 0.0):
        by_row: dict[Row, dict[int, Entry]] = {}
        for entry in entries:
            if entry["load"] == load:
                by_row.setdefault(cell_of(entry).row, {})[entry["seed"]] = entry
        for row in order:
            if row not in by_row:
                continue
            seeds = by_row[row]
            measured = [entry["metrics"] for entry in seeds.values()]
            found.append(
                {
                    **asdict(row),
                    "policy": None,
                    "workload": next(iter(seeds.values()))["workload"],
                    "load": load,
                    "seeds": len(seeds),
                    "mean": over(measured, lambda one: one.mean),
                    "ci95": over(measured, lambda one: one.ci95),
                    "ahead_of": {
                        str(other): difference
                        for other in order
                        if other.transport == "tcp" and other != row and other in by_row
                        if (difference := paired_difference(seeds, by_row[other])) is not None
                    },
                }
            )
    return found


def paired_difference(one: Mapping[int, Entry], other: Mapping[int, Entry]) -> dict[str, float | int | None] | None:
    """Of the weighted share on time, over the seeds that both have; None where there is none."""
    both = sorted(one.keys() & other.keys())
    found = spread(
        [one[seed]["metrics"]["weighted_on_time"] - other[seed]["metrics"]["weighted_on_time"] for seed in both]
    )
    return None if found is None else {"mean": found.mean, "ci95": found.ci95, "seeds": len(both)}
