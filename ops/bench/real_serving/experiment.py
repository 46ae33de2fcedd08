"""The run of `real_serving`: visit the cells that are not there yet, then the tables and the report."""

from __future__ import annotations

import argparse
import contextlib
import functools
import random
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from ops.bench import report
from ops.bench.arguments import SEEDS, list_of, seeds
from ops.bench.certificates import make_certificates
from ops.bench.journal import Journal
from ops.bench.processes import ChildError
from ops.bench.real_serving.cell import Cell, CellRun, cell_of, run_cell
from ops.bench.real_serving.scenario import SHIPPED_SCENARIO, RealServingScenario, read_scenario
from ops.bench.real_serving.tables import STARVED_SHARE, print_tables, starved, summarise
from ops.bench.visit import CellError, Visit, interruptible
from ops.emulated.repository import EmulatedModel, emulated_models, write_repository
from proxy.demo.triton_server import TritonError, TritonServer, TritonSettings

RunOne = Callable[[Cell], Awaitable[CellRun]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this experiment."""
    parser.add_argument("--fresh", action="store_true", help="measure all cells anew; without it a run goes on")
    parser.add_argument("--seeds", type=seeds, metavar=SEEDS)
    parser.add_argument("--policies", type=list_of(str), metavar="NAME,…")
    parser.add_argument("--workloads", type=list_of(str), metavar="NAME,…", help="shipped, or files")


async def run(arguments: argparse.Namespace, console: Console, out: Path) -> report.Report:
    """Measure, show, and return the report. Raises `ScenarioError`, and `ChildError` when Triton does not start."""
    asked = {key: getattr(arguments, key) for key in ("seeds", "policies", "workloads")}
    over = {key: value for key, value in asked.items() if value is not None}
    scenario = read_scenario(arguments.scenario or SHIPPED_SCENARIO, quick=arguments.quick, over=over)
    wanted = cells(scenario)
    journal = Journal(out / "cells.jsonl", fingerprint=scenario.fingerprint, cell_of=cell_of, fresh=arguments.fresh)
    todo = [cell for cell in wanted if cell not in journal.entries or starved(journal.entries[cell])]
    if len(todo) < len(wanted):
        console.print(f"{len(wanted) - len(todo)} of {len(wanted)} cells are there from before", highlight=False)
    keep = functools.partial(journal.add, **_setting(scenario))
    visit = Visit[Cell](keep, console, commit=report.commit())
    with interruptible(wanted, journal.entries.__contains__, console):
        async with _runner(scenario, out) as run_one:
            await visit.all(todo, run_one)
    entries = [journal.entries[cell] for cell in wanted if cell in journal.entries]
    found = summarise(entries)
    print_tables(found, console)
    if short := [entry for entry in entries if starved(entry)]:
        console.print(
            f"{len(short)} of {len(entries)} cells were short of CPU time (a process waited for a core in more than "
            f"{STARVED_SHARE:.0%} of the time); the same command measures them anew: "
            + ", ".join(str(cell_of(entry)) for entry in short[:5]),
            highlight=False,
            style="yellow",
        )
    failed = visit.tell_failed()
    return report.Report(
        "real_serving",
        dict(scenario.source),
        cells=[{key: value for key, value in entry.items() if key != "fingerprint"} for entry in entries],
        summary=found,
        notes={
            "failed": failed,
            "commits": sorted({str(entry["commit"]) for entry in entries}),
        },
    )


def cells(scenario: RealServingScenario) -> list[Cell]:
    """Seed by seed, each in an order of its own, so that a run that is cut short can be compared within."""
    found = []
    for seed in scenario.seeds:
        some = [Cell(workload, policy, seed) for workload in scenario.workloads for policy in scenario.policies]
        random.Random(f"order {seed}").shuffle(some)
        found += some
    return found


@contextlib.asynccontextmanager
async def _runner(scenario: RealServingScenario, out: Path) -> AsyncIterator[RunOne]:
    """What runs a cell, with its certificates and Tritons."""
    async with contextlib.AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headway-bench-")))
        servers = Servers(stack, directory, out)
        certificates = make_certificates(directory)

        async def run_one(cell: Cell) -> CellRun:
            models = emulated_models(scenario.workloads[cell.workload])
            try:
                return await run_cell(cell, scenario, await servers.of(models), models, certificates=certificates)
            except ChildError as error:
                raise CellError(str(error)) from error

        yield run_one


def _setting(scenario: RealServingScenario) -> dict[str, Any]:
    return {"transport": "quic", "scheduler": scenario.scheduler, "congestion_control": "bbr", "load": None}


class Servers:
    """A Triton for each set of models, started when it is first asked for. They end with `stack`."""

    def __init__(self, stack: contextlib.AsyncExitStack, directory: Path, out: Path) -> None:
        self._stack = stack
        self._directory = directory
        self._out = out
        self._servers: dict[tuple[EmulatedModel, ...], TritonServer] = {}

    async def of(self, models: Sequence[EmulatedModel]) -> TritonServer:
        """The server of these models. Raises `ChildError` when it does not start, or has ended."""
        key = tuple(models)
        try:
            if key not in self._servers:
                number = len(self._servers) + 1
                repository = write_repository(self._directory / f"models-{number}", models)
                self._out.mkdir(parents=True, exist_ok=True)
                settings = TritonSettings(log_file=self._out / f"triton-{number}.log")
                self._servers[key] = await self._stack.enter_async_context(TritonServer(repository, settings))
            if not self._servers[key].running:
                raise self._servers[key].failure()
        except TritonError as error:
            raise ChildError(str(error)) from error
        return self._servers[key]
