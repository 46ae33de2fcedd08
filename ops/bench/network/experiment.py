"""The run of `network`: visit the cells that are not there yet, then table, pictures and report."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console

from ops.bench import report
from ops.bench.arguments import SEEDS, list_of, seeds
from ops.bench.certificates import Certificates, make_certificates
from ops.bench.journal import Journal
from ops.bench.network import grid, memory, plots
from ops.bench.network.bounds import bound_weight
from ops.bench.network.emulated import run_emulated_cell
from ops.bench.network.grid import Cell
from ops.bench.network.memory import MemoryCell, run_memory_cell
from ops.bench.network.metrics import metrics
from ops.bench.network.requests import draw_requests
from ops.bench.network.run import CellRun, outcomes_of
from ops.bench.network.scenario import NetworkScenario, read_scenario
from ops.bench.network.summary import summarise
from ops.bench.network.tables import print_tables
from ops.bench.scenario import SHIPPED, ScenarioError
from ops.bench.visit import Visit, interruptible, own_directory
from ops.link import namespaces_permitted
from policies.scheduling.registry import SCHEDULERS
from proxy.cli import CONGESTION_CONTROLS

SHIPPED_SCENARIO = SHIPPED / "poster-3g.yaml"

WARM_UP_CALLS = 3

STARVED_SHARE = 0.75
"""Of a cell's time. On two cores with a load average of 10, proxy and daemon waited up to 0.7 of it, and every request
of `edf` with `bbr` at twice the link's rate was on time still; past that nothing is known."""

RunCell = Callable[[Cell], Awaitable[CellRun]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this experiment."""
    parser.add_argument("--link", choices=("emulated", "memory"), help="emulated, and memory where that is not allowed")
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="cells at the same time, each with its own link"
    )
    parser.add_argument("--fresh", action="store_true", help="measure all cells anew; without it a run goes on")
    parser.add_argument("--seeds", type=seeds, metavar=SEEDS)
    parser.add_argument("--loads", type=list_of(float), metavar="X,…", help="for Poisson arrivals")
    parser.add_argument("--transports", type=list_of(str), metavar="NAME,…")
    parser.add_argument("--schedulers", type=list_of(str), metavar="NAME,…")
    parser.add_argument("--congestion-controls", type=list_of(str), metavar="NAME,…")


def _over(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the command line lays on the file."""
    cells = {
        "transport": arguments.transports,
        "scheduler": arguments.schedulers,
        "congestion_control": arguments.congestion_controls,
    }
    over: dict[str, Any] = {"cells": {key: value for key, value in cells.items() if value is not None}}
    if arguments.seeds is not None:
        over["seeds"] = arguments.seeds
    if arguments.loads is not None:
        over["arrivals"] = {"load": arguments.loads}
    return over


async def run(arguments: argparse.Namespace, console: Console, out: Path) -> report.Report:
    """Measure, show, draw, and return the report. Raises `ScenarioError`."""
    scenario = read_scenario(arguments.scenario or SHIPPED_SCENARIO, quick=arguments.quick, over=_over(arguments))
    if arguments.jobs < 1:
        raise ScenarioError(f"--jobs: {arguments.jobs} is not a number of cells")
    link_mode, why_memory = _link_mode(arguments.link)
    if why_memory:
        console.print(f"no emulated link: {why_memory}; the link in memory instead", highlight=False, markup=False)
    if link_mode == "memory":
        memory.check(scenario.link)
    rows, unavailable = grid.usable(
        grid.rows(scenario),
        schedulers=SCHEDULERS,
        congestion_controls=CONGESTION_CONTROLS,
        kernel_controls=grid.kernel_controls() if link_mode == "emulated" else (),
    )
    for name, reason in unavailable.items():
        console.print(f"left out: {name}: {reason}", highlight=False, markup=False)
    wanted = grid.cells(scenario, rows)
    journal = Journal(
        out / "cells.jsonl", fingerprint=scenario.fingerprint(link_mode), cell_of=grid.cell_of, fresh=arguments.fresh
    )
    todo = [cell for cell in wanted if cell not in journal.entries]
    if len(todo) < len(wanted):
        console.print(f"{len(wanted) - len(todo)} of {len(wanted)} cells are there from before", highlight=False)
    visit = Visit[Cell](journal.add, console, commit=report.commit())
    with interruptible(wanted, journal.entries.__contains__, console):
        async with _runner(link_mode, scenario, arguments.jobs, out) as run_cell:
            await visit.all(todo, run_cell, jobs=arguments.jobs)
    entries = _entries(scenario, wanted, journal, console)
    found = summarise(entries, rows)
    print_tables(found, console)
    for file in plots.draw(scenario, entries, found, out) if entries else ():
        console.print(f"picture: {file}", highlight=False, markup=False)
    if short := [entry for entry in entries if starved(entry)]:
        console.print(
            f"{len(short)} of {len(entries)} cells were short of CPU time (fewer --jobs, or an idle machine): "
            + ", ".join(str(grid.cell_of(entry)) for entry in short[:5]),
            highlight=False,
            style="yellow",
        )
    failed = visit.tell_failed()
    notes = {
        "link": link_mode,
        "unavailable": unavailable,
        "failed": failed,
        "commits": sorted({str(entry["commit"]) for entry in entries}),
    }
    in_the_journal_only = ("outcomes", "fingerprint", "wire")
    return report.Report(
        "network",
        dict(scenario.source),
        cells=[{key: value for key, value in entry.items() if key not in in_the_journal_only} for entry in entries],
        summary=found,
        notes=notes,
    )


def starved(entry: Mapping[str, Any]) -> bool:
    """Whether proxy or daemon waited for a core so long that the cell may say more of the machine than of headway."""
    waited_s = [float(seconds) for name, seconds in entry["waited_s"].items() if name in ("proxy", "daemon")]
    return max(waited_s, default=0.0) > STARVED_SHARE * float(entry["link"].get("seconds", 0.0))


def _link_mode(asked: str | None) -> tuple[str, str]:
    """The link to use, and why it is not the emulated one where nobody asked for another."""
    if asked is not None:
        if asked == "emulated" and (reason := namespaces_permitted()) is not None:
            raise ScenarioError(f"--link emulated: {reason}")
        return asked, ""
    reason = namespaces_permitted()
    return ("emulated", "") if reason is None else ("memory", reason)


def _entries(
    scenario: NetworkScenario, wanted: Sequence[Cell], journal: Journal[Cell], console: Console
) -> list[dict[str, Any]]:
    """The wanted cells that there are, with their figures."""
    there = [cell for cell in wanted if cell in journal.entries]
    bounds: dict[tuple[float | None, int], float | None] = {}
    with console.status("the bound"):
        for cell in there:
            key = (cell.load, cell.seed)
            if key not in bounds:
                bounds[key] = bound_weight(scenario, draw_requests(scenario, load=cell.load, seed=cell.seed))
    found = []
    for cell in there:
        entry = journal.entries[cell]
        figures = metrics(outcomes_of(entry), scenario.classes, bounds[cell.load, cell.seed])
        found.append({**entry, "policy": None, "workload": scenario.name, "metrics": figures})
    return found


@contextlib.asynccontextmanager
async def _runner(link_mode: str, scenario: NetworkScenario, jobs: int, out: Path) -> AsyncIterator[RunCell]:
    """What runs a cell, with its certificates and, for the link in memory, its processes."""
    with tempfile.TemporaryDirectory(prefix="headway-bench-") as name:
        directory = Path(name)
        certificates = make_certificates(directory)
        if link_mode == "memory":
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(jobs, mp_context=context, initializer=_leave_signals_to_the_parent) as pool:
                yield _in_memory(scenario, directory, pool)
        else:
            yield _emulated(scenario, directory, certificates, out)


def _leave_signals_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _in_memory(scenario: NetworkScenario, certs: Path, pool: ProcessPoolExecutor) -> RunCell:
    classes = {name: item.traffic_class() for name, item in scenario.classes.items()}

    async def run_cell(cell: Cell) -> CellRun:
        requests = draw_requests(scenario, load=cell.load, seed=cell.seed)
        spec = MemoryCell(cell, requests, classes, scenario.link, certs, scenario.give_up_s, WARM_UP_CALLS)
        return await asyncio.get_running_loop().run_in_executor(pool, run_memory_cell, spec)

    return run_cell


def _emulated(scenario: NetworkScenario, directory: Path, certificates: Certificates, out: Path) -> RunCell:
    async def run_cell(cell: Cell) -> CellRun:
        requests = draw_requests(scenario, load=cell.load, seed=cell.seed)
        with own_directory(cell, within=directory, out=out) as own:
            return await run_emulated_cell(cell, requests, scenario, certificates=certificates, directory=own)

    return run_cell
