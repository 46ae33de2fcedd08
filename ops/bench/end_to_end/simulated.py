"""The simulator's figure for a cell."""

from __future__ import annotations

from typing import Any

from ops.bench.end_to_end.grid import Cell
from ops.bench.end_to_end.scenario import EndToEndScenario
from ops.bench.end_to_end.transit import crossed
from policies.selection.registry import make_policy
from policies.simulation.run import run


def simulated(scenario: EndToEndScenario, cell: Cell) -> dict[str, Any]:
    """The same policy on the same arrivals behind a simulated link and simulated models: score and shares."""
    workload = scenario.workloads[cell.workload]
    trace = crossed(workload, scenario.classes, scenario.link, cell.column, cell.seed)
    result = run(workload, make_policy(cell.policy), cell.seed, trace=trace)
    return {
        "score": result.score,
        "on_time": result.on_time,
        "weighted_on_time": result.weighted_on_time,
        "shed": result.shed,
        "models": result.models,
        "by_class": {name: {"on_time": of.on_time} for name, of in result.by_class.items()},
    }
