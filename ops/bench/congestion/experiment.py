"""The run of `congestion`: visit the cells that are not there yet, then table, pictures and report."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ops.bench import report
from ops.bench.certificates import Certificates, make_certificates
from ops.bench.congestion import grid, plots
from ops.bench.congestion.figures import metrics
from ops.bench.congestion.grid import Cell
from ops.bench.congestion.scenario import CongestionScenario, read_scenario
from ops.bench.congestion.stations import CellRun, run_cell
from ops.bench.congestion.summary import summarise
from ops.bench.congestion.tables import print_tables
from ops.bench.network.journal import Journal
from ops.bench.network.run import CellError
from ops.bench.processes import ChildError
from ops.bench.scenario import SHIPPED, ScenarioError
from ops.link import namespaces_permitted
from policies.scheduling.registry import SCHEDULERS
from proxy.cli import CONGESTION_CONTROLS

SHIPPED_SCENARIO = SHIPPED / "congestion.yaml"
KERNEL_CONTROLS = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")

TRIES = 2
"""How often a cell is tried before it counts as failed."""

Journals = Mapping[str, Journal[Cell]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this experiment."""
    parser.add_argument("--parts", type=_parts, default=grid.PARTS, metavar="NAME,…", help=", ".join(grid.PARTS))
    parser.add_argument("--seeds", type=_seeds, metavar="N,…")
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="cells at the same time, each with its own link"
    )
    parser.add_argument("--fresh", action="store_true", help="measure all cells anew; without it a run goes on")


def _parts(text: str) -> tuple[str, ...]:
    found = tuple(text.split(","))
    if unknown := set(found) - set(grid.PARTS):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: none of {', '.join(grid.PARTS)}")
    return found


def _seeds(text: str) -> list[int]:
    return [int(item) for item in text.split(",")]


async def run(arguments: argparse.Namespace, console: Console, out: Path) -> report.Report:
    """Measure, show, draw, and return the report. Raises `ScenarioError`, and `ChildError` without a link."""
    over = {} if arguments.seeds is None else {"seeds": arguments.seeds}
    scenario = read_scenario(arguments.scenario or SHIPPED_SCENARIO, quick=arguments.quick, over=over)
    if arguments.jobs < 1:
        raise ScenarioError(f"--jobs: {arguments.jobs} is not a number of cells")
    if (reason := namespaces_permitted()) is not None:
        raise ChildError(f"no emulated link here, which this experiment needs: {reason}")
    wanted, unavailable = grid.usable(
        grid.cells(scenario, arguments.parts),
        schedulers=SCHEDULERS,
        congestion_controls=CONGESTION_CONTROLS,
        kernel_controls=_kernel_controls(),
    )
    for name, why in unavailable.items():
        console.print(f"left out: {name}: {why}", highlight=False, markup=False)
    journals = {part: _journal(part, scenario, out, fresh=arguments.fresh) for part in arguments.parts}
    todo = [cell for cell in wanted if cell not in journals[cell.part].entries]
    if len(todo) < len(wanted):
        console.print(f"{len(wanted) - len(todo)} of {len(wanted)} cells are there from before", highlight=False)
    visit = Visit(scenario, journals, out, console, commit=report.commit())
    try:
        await visit.all(todo, jobs=arguments.jobs)
    except asyncio.CancelledError:
        kept = sum(cell in journals[cell.part].entries for cell in wanted)
        console.print(f"{kept} of {len(wanted)} cells are kept; the same command goes on from there", highlight=False)
        raise
    entries = _entries(scenario, wanted, journals)
    found = summarise(entries, _in_order(wanted))
    print_tables(found, console)
    for file in plots.draw(scenario, entries, found, out) if entries else ():
        console.print(f"picture: {file}", highlight=False, markup=False)
    for cell, why in visit.failed.items():
        console.print(f"failed twice: {cell}: {why}", highlight=False, markup=False, style="red")
    return report.Report(
        "congestion",
        dict(scenario.source),
        cells=[{key: value for key, value in entry.items() if key not in _SERIES} for entry in entries],
        summary=found,
        notes={
            "unavailable": unavailable,
            "failed": [{**cell.as_json(), "reason": why} for cell, why in visit.failed.items()],
            "commits": sorted({str(entry["commit"]) for entry in entries}),
        },
    )


_SERIES = ("flows_seen", "wire", "probes", "fingerprint", "cpu_s")
"""What of an entry stays in the journal."""


def _kernel_controls() -> list[str]:
    return KERNEL_CONTROLS.read_text().split()


def _journal(part: str, scenario: CongestionScenario, out: Path, *, fresh: bool) -> Journal[Cell]:
    file = out / f"{part}.jsonl"
    return Journal(file, fingerprint=scenario.fingerprint(part), cell_of=grid.cell_of, fresh=fresh)


def _in_order(wanted: Sequence[Cell]) -> list[Cell]:
    """As tables have them: by what is sent, then by link."""
    return sorted(
        wanted,
        key=lambda cell: (
            *(grid.PARTS.index(cell.part), str(cell.event), [str(flow) for flow in cell.flows]),
            *(cell.rate_bits_s, cell.queue_bdp, cell.direction, cell.loss),
        ),
    )


def _entries(scenario: CongestionScenario, wanted: Sequence[Cell], journals: Journals) -> list[dict[str, Any]]:
    """The wanted cells that there are, with their figures."""
    found = []
    for cell in _in_order(wanted):
        entry = journals[cell.part].entries.get(cell)
        if entry is not None:
            found.append({**entry, "metrics": metrics(cell, entry, scenario)})
    return found


@dataclass(slots=True)
class Visit:
    """Runs cells, some at a time, and keeps what they bring."""

    scenario: CongestionScenario
    journals: Journals
    out: Path
    console: Console
    commit: str | None = None
    failed: dict[Cell, str] = field(default_factory=dict)
    """With what the last try said."""

    async def all(self, todo: Sequence[Cell], *, jobs: int) -> None:
        """Run every cell of `todo`; those that fail twice stand in `failed`."""
        waiting = list(reversed(todo))
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with (
            tempfile.TemporaryDirectory(prefix="headway-bench-") as name,
            Progress(*columns, console=self.console, transient=True) as progress,
        ):
            certificates = make_certificates(Path(name))
            bar = progress.add_task("", total=len(todo))

            async def worker() -> None:
                while waiting:
                    cell = waiting.pop()
                    progress.update(bar, description=str(cell))
                    await self._one(cell, certificates, Path(name))
                    progress.advance(bar)

            async with asyncio.TaskGroup() as group:
                for number in range(jobs):
                    group.create_task(worker(), name=f"cells {number}")

    async def _one(self, cell: Cell, certificates: Certificates, directory: Path) -> None:
        for number in range(TRIES):
            try:
                brought = await self._run(cell, certificates, directory)
            except CellError as error:
                self.failed[cell] = str(error)
                continue
            self.failed.pop(cell, None)
            self.journals[cell.part].add(cell, brought, commit=self.commit, tries=number + 1)
            return

    async def _run(self, cell: Cell, certificates: Certificates, directory: Path) -> CellRun:
        own = Path(tempfile.mkdtemp(prefix="cell-", dir=directory))
        try:
            return await run_cell(cell, self.scenario, certificates=certificates, directory=own)
        except CellError:
            logs = self.out / "failed" / str(cell).replace(", ", "-").replace(" ", "-").replace("/", "-")
            shutil.copytree(own, logs, dirs_exist_ok=True, ignore=shutil.ignore_patterns("token", "packets*"))
            raise
        finally:
            shutil.rmtree(own)
