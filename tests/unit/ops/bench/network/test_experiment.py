import argparse
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from ops.bench.__main__ import parser
from ops.bench.journal import Journal
from ops.bench.network import grid
from ops.bench.network.experiment import run, starved
from ops.bench.network.grid import Cell, Row
from ops.bench.network.requests import Outcome
from ops.bench.network.run import CellRun
from ops.bench.scenario import ScenarioError
from ops.bench.visit import CellError, Visit

SCENARIO = """
name: pond
classes: {a: {size: 2000, deadline: 1.0}}
link: {rate: 10mbit, delay: 10ms}
arrivals: {kind: poisson, load: [0.5]}
requests: 3
seeds: [1, 2]
cells: {transport: [quic, tcp], scheduler: [rr, edf], congestion_control: [cubic]}
"""

CELLS = [Cell(Row("quic", "edf", "cubic"), None, seed) for seed in (1, 2, 3)]


def journal_in(tmp_path: Path) -> Journal[Cell]:
    return Journal(tmp_path / "cells.jsonl", fingerprint="f", cell_of=grid.cell_of)


def visit(journal: Journal[Cell]) -> Visit[Cell]:
    return Visit(journal.add, Console(file=io.StringIO()), commit="c")


async def brings(cell: Cell) -> CellRun:
    return CellRun((Outcome(0, "a", 0.0, 0.0, None, float(cell.seed), "OK"),))


@pytest.mark.parametrize("jobs", [1, 2, 5])
async def test_every_cell_is_run_once_and_kept(tmp_path: Path, jobs: int) -> None:
    journal = journal_in(tmp_path)
    visiting = visit(journal)
    await visiting.all(CELLS, brings, jobs=jobs)
    assert set(journal.entries) == set(CELLS)
    assert [journal.entries[cell]["tries"] for cell in CELLS] == [1, 1, 1]
    assert visiting.failed == {}


async def test_a_cell_that_fails_once_is_tried_again_and_twice_is_reported(tmp_path: Path) -> None:
    tries: list[int] = []

    async def fails(cell: Cell) -> CellRun:
        tries.append(cell.seed)
        if cell.seed == 1 or (cell.seed == 2 and tries.count(2) == 1):
            raise CellError(f"no {len(tries)}")
        return await brings(cell)

    journal = journal_in(tmp_path)
    visiting = visit(journal)
    await visiting.all(CELLS, fails, jobs=1)
    assert tries == [1, 1, 2, 2, 3]
    assert set(journal.entries) == set(CELLS[1:])
    assert journal.entries[CELLS[1]]["tries"] == 2
    assert visiting.failed == {CELLS[0]: "no 2"}


def test_a_cell_whose_processes_waited_for_a_core_is_known() -> None:
    def entry(**waited_s: float) -> dict[str, object]:
        return {"waited_s": waited_s, "link": {"seconds": 10.0}}

    assert starved(entry(proxy=7.6, daemon=0.1))
    assert starved(entry(proxy=0.1, daemon=7.6))
    assert not starved(entry(proxy=7.4, daemon=7.4, backend=9.0))
    assert not starved({"waited_s": {}, "link": {}})


def arguments(tmp_path: Path, *more: str) -> argparse.Namespace:
    file = tmp_path / "pond.yaml"
    file.write_text(SCENARIO)
    return parser().parse_args(["network", "--scenario", str(file), "--link", "memory", *more])


@pytest.mark.slow
async def test_a_run_in_memory_from_file_to_report(tmp_path: Path) -> None:
    written = io.StringIO()
    console = Console(file=written, width=120)
    report = await run(arguments(tmp_path), console, tmp_path / "out")
    assert report.notes["link"] == "memory"
    assert report.notes["unavailable"] == {"tcp": "there is no kernel TCP on the link in memory"}
    assert report.notes["failed"] == []
    assert {(cell["scheduler"], cell["seed"]) for cell in report.cells} == {
        ("rr", 1),
        ("rr", 2),
        ("edf", 1),
        ("edf", 2),
    }
    assert all(cell["metrics"]["weighted_on_time"] == 1.0 for cell in report.cells)
    assert all(cell["metrics"]["bound_share"] == 1.0 for cell in report.cells)
    assert [entry["mean"]["weighted_on_time"] for entry in report.summary] == [1.0, 1.0]
    assert "outcomes" not in report.cells[0]
    assert json.dumps(report.scenario).startswith('{"name": "pond"')
    assert "left out: tcp" in written.getvalue()
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "cells.jsonl",
        "latency-load-0.5.png",
        "timeline-load-0.5.png",
    }

    before = (tmp_path / "out" / "cells.jsonl").read_text()
    await run(arguments(tmp_path, "--schedulers", "edf"), console, tmp_path / "out")
    assert "2 of 2 cells are there from before" in written.getvalue()
    assert (tmp_path / "out" / "cells.jsonl").read_text() == before


async def test_what_the_command_line_asks_for_is_checked(tmp_path: Path) -> None:
    for more, message in (
        (("--jobs", "0"), "--jobs: 0 is not a number of cells"),
        (("--schedulers", "lifo"), r"cells\.scheduler: 'lifo' is not a name of"),
        (("--seeds", "-1"), r"seeds: -1 is not a whole number of at least 0"),
    ):
        with pytest.raises(ScenarioError, match=message):
            await run(arguments(tmp_path, *more), Console(file=io.StringIO()), tmp_path / "out")
