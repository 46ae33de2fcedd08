"""The simulator's figure for a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ops.bench.end_to_end.grid import Cell
from ops.bench.end_to_end.scenario import EndToEndScenario
from ops.bench.end_to_end.transit import crossed
from ops.bench.end_to_end.window import RULES
from policies.selection.registry import make_policy
from policies.simulation.run import run


def simulated(scenario: EndToEndScenario, cell: Cell) -> dict[str, Any]:
    """The same policy on the same arrivals behind a simulated link and simulated models: score and shares.

    Means of `WINDOWS` draws where the congestion controller's window is drawn, too.
    """
    draws = WINDOWS if cell.column.congestion_control in RULES else 1
    results = [_shares(scenario, cell, window) for window in range(draws)]
    found: dict[str, Any] = _mean(results)
    return found


WINDOWS = 4
"""A run has one window, and may have any: means of this many have half the spread."""


def _mean(values: Sequence[Any]) -> Any:
    """Of numbers, or of what mappings have at the same keys; a key that is missing counts as 0."""
    if not isinstance(values[0], Mapping):
        return sum(values) / len(values)
    keys = dict.fromkeys(key for value in values for key in value)
    return {key: _mean([value.get(key, 0.0) for value in values]) for key in keys}


def _shares(scenario: EndToEndScenario, cell: Cell, window: int) -> dict[str, Any]:
    workload = scenario.workloads[cell.workload]
    trace = crossed(workload, scenario.classes, scenario.link, cell.column, cell.seed, window=window)
    result = run(workload, make_policy(cell.policy), cell.seed, trace=trace)
    return {
        "score": result.score,
        "on_time": result.on_time,
        "weighted_on_time": result.weighted_on_time,
        "shed": result.shed,
        "models": result.models,
        "by_class": {name: {"on_time": of.on_time} for name, of in result.by_class.items()},
    }
