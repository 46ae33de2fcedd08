"""Cells of several seeds → one entry a workload, policy and column: means, 95 % intervals, paired differences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ops.bench.end_to_end.grid import column_of
from ops.bench.figures import over, spread
from ops.bench.network.grid import Row

Entry = Mapping[str, Any]
BySeed = Mapping[int, Entry]
Key = tuple[str, str, Row]
"""Workload, policy, column."""


def by_key(entries: Sequence[Entry]) -> dict[Key, dict[int, Entry]]:
    """The cells, by all that names one but the seed, and then by that; in the order of the entries."""
    found: dict[Key, dict[int, Entry]] = {}
    for entry in entries:
        found.setdefault((entry["workload"], entry["policy"], column_of(entry)), {})[entry["seed"]] = entry
    return found


def summarise(
    entries: Sequence[Entry], workloads: Sequence[str], policies: Sequence[str], columns: Sequence[Row]
) -> list[dict[str, Any]]:
    """The summary of a results file, in the given order.

    `ci95` is the half width of Student's interval, None for a single seed. `ahead_of` has, by column, how far the score
    is above that of the same policy by TLS/TCP, and for `adaptive` also above that by `edf`: seed by seed, on the same
    arrivals. It is ahead outside the interval where `mean` exceeds `ci95`.
    """
    grouped = by_key(entries)
    found = []
    for workload in workloads:
        for policy in policies:
            own = {
                column: grouped[workload, policy, column] for column in columns if (workload, policy, column) in grouped
            }
            for column, seeds in own.items():
                measured = [entry["metrics"] for entry in seeds.values()]
                found.append(
                    {
                        **asdict(column),
                        "policy": policy,
                        "workload": workload,
                        "load": None,
                        "seeds": len(seeds),
                        "mean": over(measured, lambda one: one.mean),
                        "ci95": over(measured, lambda one: one.ci95),
                        "ahead_of": {
                            str(other): difference
                            for other in own
                            if _compared(column, other)
                            and (difference := paired(seeds, own[other], _difference)) is not None
                        },
                    }
                )
    return found


def paired(one: BySeed, other: BySeed, of: Callable[[float, float], float]) -> dict[str, Any] | None:
    """A figure of both scores over the seeds that both have; None where there is none."""
    both = sorted(one.keys() & other.keys())
    found = spread([of(one[seed]["metrics"]["score"], other[seed]["metrics"]["score"]) for seed in both])
    return None if found is None else {"mean": found.mean, "ci95": found.ci95, "seeds": len(both)}


def ratio(one: BySeed, other: BySeed) -> float | None:
    """The mean score of one over that of the other, on the seeds that both have."""
    both = sorted(one.keys() & other.keys())
    below = sum(float(other[seed]["metrics"]["score"]) for seed in both)
    return sum(float(one[seed]["metrics"]["score"]) for seed in both) / below if below else None


def _difference(one: float, other: float) -> float:
    return one - other


def _compared(column: Row, other: Row) -> bool:
    if other == column or column.transport == "tcp":
        return False
    if other.transport == "tcp":
        return True
    return column.scheduler == "adaptive" and other == Row("quic", "edf", column.congestion_control)
