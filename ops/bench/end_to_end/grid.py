"""The cells of a scenario, and the order in which they are visited."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ops.bench.end_to_end.scenario import EndToEndScenario
from ops.bench.network.grid import Row


@dataclass(frozen=True, slots=True)
class Cell:
    """One run."""

    policy: str
    column: Row
    workload: str
    seed: int

    def __str__(self) -> str:
        return f"{self.workload} {self.policy} {self.column} seed {self.seed}"

    def as_json(self) -> dict[str, Any]:
        """The keys that name a cell in the results."""
        return {
            **asdict(self.column),
            "policy": self.policy,
            "workload": self.workload,
            "load": None,
            "seed": self.seed,
        }


def cell_of(entry: Mapping[str, Any]) -> Cell:
    """The cell that an entry's keys name."""
    return Cell(entry["policy"], column_of(entry), entry["workload"], entry["seed"])


def column_of(entry: Mapping[str, Any]) -> Row:
    """The column that an entry's keys name."""
    return Row(entry["transport"], entry["scheduler"], entry["congestion_control"])


def cells(scenario: EndToEndScenario, columns: Collection[Row]) -> list[Cell]:
    """All cells, seed after seed; within a seed in an order drawn by it.

    So a slow minute of the machine falls on no row and no column more than on others.
    """
    found: list[Cell] = []
    for seed in scenario.seeds:
        some = [
            Cell(policy, column, workload, seed)
            for workload in scenario.workloads
            for policy in scenario.policies
            for column in columns
        ]
        random.Random(f"order {seed}").shuffle(some)
        found.extend(some)
    return found
