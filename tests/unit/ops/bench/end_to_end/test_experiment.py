import argparse
import io
import json
import re
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from ops.bench import report
from ops.bench.__main__ import parser
from ops.bench.end_to_end import grid
from ops.bench.end_to_end.experiment import run, starved
from ops.bench.end_to_end.grid import Cell
from ops.bench.end_to_end.simulated import simulated
from ops.bench.end_to_end.stations import CellRun
from ops.bench.journal import Journal
from ops.bench.scenario import ScenarioError
from ops.bench.visit import CellError, Visit
from tests.unit.ops.bench.end_to_end.pond import EDF, QUIC, SOURCE, outcomes, scenario

CELLS = [Cell("dqn", QUIC, "stable", seed) for seed in (1, 2, 3)]


def journal(directory: Path) -> Journal[Cell]:
    return Journal(directory / "cells.jsonl", fingerprint=scenario().fingerprint(), cell_of=grid.cell_of)


async def brings(cell: Cell) -> CellRun:
    return CellRun(outcomes(scenario(), cell.seed, late=cell.seed), 3.0, waited_s={"proxy": 0.1, "daemon": 0.1})


@pytest.mark.parametrize("jobs", [1, 2, 5])
async def test_every_cell_is_run_once_and_kept(tmp_path: Path, jobs: int) -> None:
    said = io.StringIO()
    visit = Visit[Cell](journal(tmp_path).add, Console(file=said, width=120), commit="c")
    await visit.all(CELLS, brings, jobs=jobs)
    for number, cell in enumerate(CELLS, 1):  # without a terminal a line each
        assert re.search(rf"^{number} of 3.*: {re.escape(str(cell))}$", said.getvalue(), re.MULTILINE)
    assert set(journal(tmp_path).entries) == set(CELLS)
    assert visit.failed == {}


async def test_a_cell_that_fails_once_is_tried_again_and_twice_is_reported(tmp_path: Path) -> None:
    tries: list[int] = []

    async def fails(cell: Cell) -> CellRun:
        tries.append(cell.seed)
        if cell.seed == 1 or (cell.seed == 2 and tries.count(2) == 1):
            raise CellError(f"no {len(tries)}")
        return await brings(cell)

    visit = Visit[Cell](journal(tmp_path).add, Console(file=io.StringIO()))
    await visit.all(CELLS, fails, jobs=1)
    assert tries == [1, 1, 2, 2, 3]
    assert visit.failed == {CELLS[0]: "no 2"}


def test_a_cell_whose_processes_waited_for_a_core_is_known() -> None:
    assert starved({"waited_s": {"proxy": 4.1}, "seconds": 10.0})
    assert not starved({"waited_s": {"proxy": 3.9, "daemon": 3.9, "backend": 9.0}, "seconds": 10.0})


def arguments(directory: Path, *more: str) -> argparse.Namespace:
    file = directory / "pond.yaml"
    file.write_text(yaml.safe_dump({**SOURCE, "seeds": [1, 2]}))
    return parser().parse_args(["end_to_end", "--scenario", str(file), *more])


async def test_what_is_there_is_shown_without_measuring(tmp_path: Path) -> None:
    visit = Visit[Cell](journal(tmp_path).add, Console(file=io.StringIO()), commit="c")
    await visit.all([Cell("dqn", column, "stable", seed) for column in (EDF, QUIC) for seed in (1, 2)], brings, jobs=1)
    said = io.StringIO()
    asked = arguments(tmp_path, "--show", "--policies", "dqn", "--only", "quic/edf,tcp", "--seeds", "1,2")
    result = await run(asked, Console(file=said, width=120), tmp_path)
    assert "2 of 4 cells are there from before" in said.getvalue()
    assert [(entry["scheduler"], entry["seed"]) for entry in result.cells] == [("edf", 1), ("edf", 2)]
    assert [entry["seeds"] for entry in result.summary] == [2]
    assert result.notes["commits"] == ["c"]
    assert result.notes["failed"] == result.notes["starved"] == []
    assert "outcomes" not in result.cells[0]
    assert json.dumps(result.summary)
    for name in ("scores-bbr.png", "simulator.png", "first-token.png"):
        assert f"picture: {tmp_path / name}" in said.getvalue().replace("\n", "")


async def test_cells_of_published_results_count_as_measured(tmp_path: Path) -> None:
    earlier, later = tmp_path / "earlier", tmp_path / "later"
    for directory, seed in ((earlier, 1), (later, 2)):
        visit = Visit[Cell](journal(directory).add, Console(file=io.StringIO()), commit=directory.name)
        await visit.all([Cell("dqn", EDF, "stable", seed)], brings, jobs=1)
    names = ("--show", "--policies", "dqn", "--only", "quic/edf", "--seeds", "1,2")
    first = await run(arguments(tmp_path, *names), Console(file=io.StringIO()), earlier)
    published = report.write(first, tmp_path, ["end_to_end"])
    both = await run(arguments(tmp_path, *names, "--with", str(published)), Console(file=io.StringIO()), later)
    assert [entry["commit"] for entry in both.cells] == ["earlier", "later"]
    assert both.cells[0] == first.cells[0]
    assert both.summary[0]["seeds"] == 2


async def test_what_the_simulator_says_needs_no_link(tmp_path: Path) -> None:
    said = io.StringIO()
    file = tmp_path / "pond.yaml"
    asked = arguments(
        tmp_path, "--simulated", "--policies", "dqn,static:small", "--seeds", "1-3", "--workloads", "stable"
    )
    both = {"stable": SOURCE["workloads"]["stable"], "idle": {"kind": "stable", "rates": [1], "hold": 3}}
    file.write_text(yaml.safe_dump({**SOURCE, "workloads": both}))
    result = await run(asked, Console(file=said, width=120), tmp_path)
    assert "stable, QUIC with bbr, seeds: 3. Score" in said.getvalue()
    assert "simulator's score less" not in said.getvalue()
    assert len(result.cells) == 2 * 3 * 3
    pond = scenario(workloads=both)
    cell = Cell("dqn", QUIC, "stable", 2)
    (one,) = (entry for entry in result.cells if grid.cell_of(entry) == cell)
    assert one["metrics"] == simulated(pond, cell)
    assert f"picture: {tmp_path / 'scores-bbr.png'}" in said.getvalue().replace("\n", "")
    assert not (tmp_path / "cells.jsonl").exists()
    written = report.write(result, tmp_path, ["end_to_end"])
    with pytest.raises(ScenarioError, match="were simulated, not measured"):
        await run(arguments(tmp_path, "--show", "--with", str(written)), Console(file=said), tmp_path / "other")


async def test_published_results_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    asked = arguments(tmp_path, "--show", "--with", str(file))
    with pytest.raises(ScenarioError, match=r"results\.json is not a results file"):
        await run(asked, Console(file=io.StringIO()), tmp_path)
    file.write_text(json.dumps({"scenario": {**SOURCE, "answer_bytes": 9}, "cells": []}))
    with pytest.raises(ScenarioError, match=r"results\.json have other settings"):
        await run(asked, Console(file=io.StringIO()), tmp_path)


@pytest.mark.parametrize(
    ("more", "what"),
    [
        (("--jobs", "0"), "--jobs: 0 is not"),
        (("--only", "sctp"), "--only: no column has sctp; there are quic/edf/bbr"),
        (("--workloads", "stable,storm"), "--workloads: storm is none of stable"),
    ],
)
async def test_what_cannot_be_done_is_said(tmp_path: Path, more: tuple[str, ...], what: str) -> None:
    with pytest.raises(ScenarioError, match=what):
        await run(arguments(tmp_path, "--show", *more), Console(file=io.StringIO()), tmp_path)
