"""Which cells are run, and what is kept of them."""

from __future__ import annotations

import functools
import io
from pathlib import Path

from rich.console import Console

from ops.bench.__main__ import parser
from ops.bench.journal import Journal
from ops.bench.real_serving.cell import Cell, CellRun, cell_of
from ops.bench.real_serving.experiment import cells
from ops.bench.real_serving.scenario import SHIPPED_SCENARIO, read_scenario
from ops.bench.visit import CellError, Visit

CONSOLE = Console(file=io.StringIO())
CELLS = [Cell("stable", "greedy", seed) for seed in (1, 2)]


def test_cells_are_visited_seed_by_seed_in_orders_of_their_own() -> None:
    scenario = read_scenario(SHIPPED_SCENARIO)
    found = cells(scenario)
    count = len(scenario.workloads) * len(scenario.policies)
    assert len(set(found)) == len(found) == count * len(scenario.seeds)
    first, second = found[:count], found[count : 2 * count]
    assert {cell.seed for cell in first} == {scenario.seeds[0]}
    assert [cell.policy for cell in first] != [cell.policy for cell in second]
    assert found == cells(scenario)


async def test_what_cells_bring_is_kept_and_failures_are_told(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "cells.jsonl", fingerprint="f", cell_of=cell_of)
    tried: list[Cell] = []

    async def run_one(cell: Cell) -> CellRun:
        tried.append(cell)
        if cell.seed == 2:
            raise CellError("the proxy ended")
        if len(tried) == 1:
            raise CellError("at first")
        return CellRun({"score": 0.5}, {"score": 0.5}, 1.0, {}, {}, {})

    visit = Visit[Cell](functools.partial(journal.add, scheduler="edf"), CONSOLE)
    await visit.all(CELLS, run_one)
    assert visit.failed == {CELLS[1]: "the proxy ended"}
    assert tried == [CELLS[0]] * 2 + [CELLS[1]] * 2
    again = Journal(tmp_path / "cells.jsonl", fingerprint="f", cell_of=cell_of)
    assert list(again.entries) == CELLS[:1]
    entry = again.entries[CELLS[0]]
    assert (entry["tries"], entry["scheduler"], entry["difference"]) == (2, "edf", {"score": 0.0})


def test_the_command_line() -> None:
    arguments = parser().parse_args(["real_serving", "--seeds", "1,2", "--policies", "dqn,greedy", "--quick"])
    assert (arguments.seeds, arguments.policies, arguments.workloads) == ([1, 2], ["dqn", "greedy"], None)
