"""The cells of a scenario, and the order in which they are visited."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ops.bench.network.scenario import NetworkScenario

KERNEL_CONTROLS = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")


@dataclass(frozen=True, slots=True)
class Row:
    """What a cell compares; cells of one row differ in load and seed only."""

    transport: str
    scheduler: str | None
    """None for tcp, which sends in its own order."""
    congestion_control: str
    """headway's for quic, the kernel's for tcp."""

    def __str__(self) -> str:
        return "/".join(part for part in (self.transport, self.scheduler, self.congestion_control) if part)


@dataclass(frozen=True, slots=True)
class Cell:
    """One run."""

    row: Row
    load: float | None
    seed: int

    def __str__(self) -> str:
        load = "" if self.load is None else f" load {self.load:g}"
        return f"{self.row}{load} seed {self.seed}"

    def as_json(self) -> dict[str, Any]:
        """The keys that name a cell in the results."""
        return {**asdict(self.row), "load": self.load, "seed": self.seed}


def cell_of(entry: Mapping[str, Any]) -> Cell:
    """The cell that an entry's keys name."""
    row = Row(entry["transport"], entry["scheduler"], entry["congestion_control"])
    return Cell(row, entry["load"], entry["seed"])


def kernel_controls() -> list[str]:
    """The congestion controls that this machine's TCP has."""
    return KERNEL_CONTROLS.read_text().split()


def rows(scenario: NetworkScenario) -> list[Row]:
    """All rows, in the order that tables have."""
    found: list[Row] = []
    for transport in scenario.transports:
        for scheduler in scenario.schedulers if transport == "quic" else (None,):
            found.extend(Row(transport, scheduler, control) for control in scenario.congestion_controls)
    return found


def usable(
    wanted: Collection[Row],
    *,
    schedulers: Collection[str],
    congestion_controls: Collection[str],
    kernel_controls: Collection[str],
) -> tuple[list[Row], dict[str, str]]:
    """The rows that can be run here, and what stands in the way of the others, one reason a name."""
    found: list[Row] = []
    missing: dict[str, str] = {}
    for row in wanted:
        if row.transport == "tcp" and not kernel_controls:
            missing["tcp"] = "there is no kernel TCP on the link in memory"
        elif row.transport == "tcp" and row.congestion_control not in kernel_controls:
            missing[f"tcp/{row.congestion_control}"] = "not in this kernel"
        elif row.transport == "quic" and row.scheduler not in schedulers:
            missing[f"scheduler {row.scheduler}"] = "not in this version"
        elif row.transport == "quic" and row.congestion_control not in congestion_controls:
            missing[f"congestion control {row.congestion_control}"] = "not in this version"
        else:
            found.append(row)
    return found, missing


def cells(scenario: NetworkScenario, of: Collection[Row]) -> list[Cell]:
    """All cells, seed after seed; within a seed in an order drawn by it.

    So a slow minute of the machine falls on no row more than on others.
    """
    found: list[Cell] = []
    for seed in scenario.seeds:
        some = [Cell(row, load, seed) for row in of for load in scenario.loads]
        random.Random(f"order {seed}").shuffle(some)
        found.extend(some)
    return found
