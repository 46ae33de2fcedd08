"""The run of `end_to_end`: visit the cells that are not there yet, then tables, pictures and report."""

from __future__ import annotations

import argparse
import functools
import json
import os
import tempfile
from collections import ChainMap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from ops.bench import report
from ops.bench.arguments import SEEDS, list_of, seeds
from ops.bench.certificates import Certificates, make_certificates
from ops.bench.end_to_end import grid, plots, timeline
from ops.bench.end_to_end.grid import Cell
from ops.bench.end_to_end.metrics import metrics, with_simulated
from ops.bench.end_to_end.requests import draw_requests
from ops.bench.end_to_end.scenario import EndToEndScenario, read_scenario, settings_of
from ops.bench.end_to_end.simulated import simulated
from ops.bench.end_to_end.stations import CellRun, outcomes_of, run_cell
from ops.bench.end_to_end.summary import summarise
from ops.bench.end_to_end.tables import print_tables
from ops.bench.end_to_end.verdict import verdicts
from ops.bench.journal import Journal
from ops.bench.network.grid import Row, kernel_controls, usable
from ops.bench.scenario import SHIPPED, ScenarioError
from ops.bench.visit import Visit, interruptible, own_directory
from ops.link import namespaces_permitted
from policies.evaluation.parallel import in_parallel
from policies.scheduling.registry import SCHEDULERS
from proxy.cli import CONGESTION_CONTROLS
from proxy.demo.triton_wheel import TritonMissingError, find_triton_wheel

SHIPPED_SCENARIO = SHIPPED / "end-to-end.yaml"

STARVED_SHARE = 0.4
"""Of a cell's time. All of 45 cells over QUIC with bbr whose proxy and daemon waited less than that for a core scored
within 5 points of the simulator; of 48 that waited longer 36 did, and up to 20 points were missing."""

Entry = Mapping[str, Any]

SHARED = ("outcomes", "fingerprint", "samples", "decisions")
"""What stands in the journal only."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this experiment."""
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="cells at the same time, each with its own link and Triton"
    )
    parser.add_argument("--fresh", action="store_true", help="measure all cells anew; without it a run goes on")
    parser.add_argument("--seeds", type=seeds, metavar=SEEDS)
    parser.add_argument("--policies", type=list_of(str), metavar="NAME,…")
    parser.add_argument("--workloads", type=list_of(str), metavar="NAME,…", help="of those in the scenario")
    parser.add_argument(
        "--only", type=list_of(str), metavar="TEXT,…", help="columns whose name has one of these: quic/edf, bbr, tcp"
    )
    parser.add_argument("--again", action="store_true", help="measure those anew that were short of CPU time")
    parser.add_argument("--show", action="store_true", help="measure nothing; tables and pictures of what is there")
    parser.add_argument(
        "--simulated",
        action="store_true",
        help="the simulator's figures alone: no link, no Triton, seconds for many seeds",
    )
    parser.add_argument(
        "--with",
        dest="published",
        type=Path,
        metavar="FILE",
        help="a results.json of the same settings, whose cells count as measured",
    )


def _over(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the command line lays on the file."""
    over: dict[str, Any] = {}
    if arguments.policies is not None:
        over["cells"] = {"policy": arguments.policies}
    if arguments.seeds is not None:
        over["seeds"] = arguments.seeds
    return over


async def run(arguments: argparse.Namespace, console: Console, out: Path) -> report.Report:
    """Measure or simulate, show, draw, and return the report. Raises `ScenarioError`."""
    scenario = read_scenario(arguments.scenario or SHIPPED_SCENARIO, quick=arguments.quick, over=_over(arguments))
    if arguments.jobs < 1:
        raise ScenarioError(f"--jobs: {arguments.jobs} is not a number of cells")
    if not (arguments.show or arguments.simulated):
        _check_machine()
    columns, unavailable = _columns(scenario, arguments.only or [""])
    for name, reason in unavailable.items():
        console.print(f"left out: {name}: {reason}", highlight=False, markup=False)
    workloads = _workloads(scenario, arguments.workloads)
    wanted = [cell for cell in grid.cells(scenario, columns) if cell.workload in workloads]
    if arguments.simulated:
        entries, notes = _simulated(scenario, wanted, console), {"simulated": True}
    else:
        entries, notes = await _measured(arguments, scenario, wanted, console, out)
    found = summarise(entries, list(scenario.workloads), scenario.policies, columns)
    said = verdicts(entries, found)
    print_tables(found, columns, said, console)
    own = [entry for entry in entries if "outcomes" in entry]  # request by request, which published cells have not
    pictures = [*plots.draw(scenario, own, found, out), *timeline.draw(scenario, own, out)] if entries else []
    for file in pictures:
        console.print(f"picture: {file}", highlight=False, markup=False)
    return report.Report(
        "end_to_end",
        dict(scenario.source),
        cells=[{key: value for key, value in entry.items() if key not in SHARED} for entry in entries],
        summary=found,
        notes={"unavailable": unavailable, "verdicts": said, **notes},
    )


def _simulated(scenario: EndToEndScenario, wanted: Sequence[Cell], console: Console) -> list[dict[str, Any]]:
    """The wanted cells with the simulator's figures for what would be measured."""
    there = _by_simulator(scenario, wanted, console)
    return [{**cell.as_json(), "metrics": figures} for cell, figures in zip(wanted, there, strict=True)]


async def _measured(
    arguments: argparse.Namespace, scenario: EndToEndScenario, wanted: Sequence[Cell], console: Console, out: Path
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The wanted cells, those that are not there measured first; and what the results say of the measuring."""
    journal = Journal(
        out / "cells.jsonl", fingerprint=scenario.fingerprint(), cell_of=grid.cell_of, fresh=arguments.fresh
    )
    there = ChainMap[Cell, Any](journal.entries)
    if arguments.published is not None:
        there.maps.append(published(arguments.published, scenario))
    known = sum(cell in there for cell in wanted)
    todo = [] if arguments.show else [cell for cell in wanted if _is_due(there.get(cell), again=arguments.again)]
    if known:
        console.print(f"{known} of {len(wanted)} cells are there from before", highlight=False)
    visit = Visit[Cell](journal.add, console, commit=report.commit())
    with (
        interruptible(wanted, journal.entries.__contains__, console),
        tempfile.TemporaryDirectory(prefix="headway-bench-") as name,
    ):
        certificates = make_certificates(Path(name))
        run_one = functools.partial(_run, scenario=scenario, certificates=certificates, directory=Path(name), out=out)
        await visit.all(todo, run_one, jobs=arguments.jobs)
    entries = _entries(scenario, wanted, there, console)
    short = [str(grid.cell_of(entry)) for entry in entries if starved(entry)]
    if short:
        console.print(
            f"{len(short)} of {len(entries)} cells were short of CPU time (fewer --jobs, or an idle machine): "
            + "; ".join(short[:3]),
            highlight=False,
            style="yellow",
        )
    failed = visit.tell_failed()
    commits = sorted({str(entry["commit"]) for entry in entries})
    return entries, {"starved": short, "failed": failed, "commits": commits}


def published(file: Path, scenario: EndToEndScenario) -> dict[Cell, Entry]:
    """The cells of a results file, which have figures but no outcomes. Raises `ScenarioError`."""
    try:
        content = json.loads(file.read_text())
        settings = settings_of(content["scenario"])
        cells = {grid.cell_of(entry): entry for entry in content["cells"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ScenarioError(f"--with: {file} is not a results file of this experiment: {error!r}") from error
    if content.get("simulated"):
        raise ScenarioError(f"--with: the cells of {file} were simulated, not measured")
    if settings != settings_of(json.loads(json.dumps(scenario.source))):
        raise ScenarioError(f"--with: the cells of {file} have other settings than this scenario")
    return cells


def starved(entry: Mapping[str, Any]) -> bool:
    """Whether proxy or daemon waited for a core so long that the cell says more of the machine than of headway."""
    waited_s = [float(seconds) for name, seconds in entry["waited_s"].items() if name in ("proxy", "daemon")]
    return max(waited_s, default=0.0) > STARVED_SHARE * float(entry["seconds"])


def _is_due(entry: Mapping[str, Any] | None, *, again: bool) -> bool:
    return entry is None or (again and starved(entry))


def _check_machine() -> None:
    if (reason := namespaces_permitted()) is not None:
        raise ScenarioError(f"the emulated link cannot be made here: {reason}")
    try:
        find_triton_wheel()
    except TritonMissingError as error:
        raise ScenarioError(str(error)) from error


def _workloads(scenario: EndToEndScenario, names: Sequence[str] | None) -> Sequence[str]:
    """Those of the command line; all without it."""
    for name in names or ():
        if name not in scenario.workloads:
            raise ScenarioError(f"--workloads: {name} is none of {', '.join(scenario.workloads)}")
    return names or list(scenario.workloads)


def _columns(scenario: EndToEndScenario, only: Sequence[str]) -> tuple[list[Row], dict[str, str]]:
    """The columns that can be measured here, of those whose name has one of `only`, and why others can't."""
    wanted = [column for column in scenario.columns if any(text in str(column) for text in only)]
    if not wanted:
        names = ", ".join(map(str, scenario.columns))
        raise ScenarioError(f"--only: no column has {' or '.join(only)}; there are {names}")
    return usable(
        wanted,
        schedulers=SCHEDULERS,
        congestion_controls=CONGESTION_CONTROLS,
        kernel_controls=kernel_controls(),
    )


def _entries(
    scenario: EndToEndScenario, wanted: Sequence[Cell], there: Mapping[Cell, Entry], console: Console
) -> list[dict[str, Any]]:
    """The wanted cells that there are, with their figures and the simulator's as it is now, for published ones, too."""
    cells = [cell for cell in wanted if cell in there]
    entries = [there[cell] for cell in cells]
    figures = [
        entry.get("metrics") or metrics(outcomes_of(entry), scenario.workloads[cell.workload])
        for cell, entry in zip(cells, entries, strict=True)
    ]
    simulations = _by_simulator(scenario, cells, console)
    return [
        {**entry, "metrics": with_simulated(real, its)}
        for entry, real, its in zip(entries, figures, simulations, strict=True)
    ]


def _by_simulator(scenario: EndToEndScenario, cells: Sequence[Cell], console: Console) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{}] * len(cells)
    processes = min(os.cpu_count() or 1, 1 + len(cells) // CELLS_A_PROCESS)
    runs = in_parallel(functools.partial(simulated, scenario), cells, processes=processes)
    for place, its in track(runs, "the simulator", len(cells), console=console, transient=True):
        found[place] = its
    return found


CELLS_A_PROCESS = 20
"""Fewer take no longer than a process does to start."""


async def _run(
    cell: Cell, *, scenario: EndToEndScenario, certificates: Certificates, directory: Path, out: Path
) -> CellRun:
    requests = draw_requests(scenario.workloads[cell.workload], cell.seed)
    with own_directory(cell, within=directory, out=out, leave_out=("models",)) as own:
        return await run_cell(cell, requests, scenario, certificates=certificates, directory=own)
