"""The run of `congestion`: visit the cells that are not there yet, then table, pictures and report."""

from __future__ import annotations

import argparse
import functools
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from ops.bench import report
from ops.bench.arguments import SEEDS, seeds
from ops.bench.certificates import Certificates, make_certificates
from ops.bench.congestion import grid, plots
from ops.bench.congestion.figures import metrics
from ops.bench.congestion.grid import Cell
from ops.bench.congestion.scenario import CongestionScenario, read_scenario
from ops.bench.congestion.stations import CellRun, run_cell
from ops.bench.congestion.summary import summarise
from ops.bench.congestion.tables import print_tables
from ops.bench.journal import Journal
from ops.bench.processes import ChildError
from ops.bench.scenario import SHIPPED, ScenarioError
from ops.bench.visit import Visit, interruptible, own_directory
from ops.link import namespaces_permitted
from policies.scheduling.registry import SCHEDULERS
from proxy.cli import CONGESTION_CONTROLS

SHIPPED_SCENARIO = SHIPPED / "congestion.yaml"
KERNEL_CONTROLS = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")

Journals = Mapping[str, Journal[Cell]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this experiment."""
    parser.add_argument("--parts", type=_parts, default=grid.PARTS, metavar="NAME,…", help=", ".join(grid.PARTS))
    parser.add_argument("--seeds", type=seeds, metavar=SEEDS)
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="cells at the same time, each with its own link"
    )
    parser.add_argument("--fresh", action="store_true", help="measure all cells anew; without it a run goes on")


def _parts(text: str) -> tuple[str, ...]:
    found = tuple(text.split(","))
    if unknown := set(found) - set(grid.PARTS):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: none of {', '.join(grid.PARTS)}")
    return found


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
    visit = Visit[Cell](functools.partial(_keep, journals), console, commit=report.commit())
    with (
        interruptible(wanted, lambda cell: cell in journals[cell.part].entries, console),
        tempfile.TemporaryDirectory(prefix="headway-bench-") as name,
    ):
        certificates = make_certificates(Path(name))
        run_one = functools.partial(_run, scenario=scenario, certificates=certificates, directory=Path(name), out=out)
        await visit.all(todo, run_one, jobs=arguments.jobs)
    entries = _entries(scenario, wanted, journals)
    found = summarise(entries, _in_order(wanted))
    print_tables(found, console)
    for file in plots.draw(scenario, entries, found, out) if entries else ():
        console.print(f"picture: {file}", highlight=False, markup=False)
    failed = visit.tell_failed()
    return report.Report(
        "congestion",
        dict(scenario.source),
        cells=[{key: value for key, value in entry.items() if key not in _SERIES} for entry in entries],
        summary=found,
        notes={
            "unavailable": unavailable,
            "failed": failed,
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


def _keep(journals: Journals, cell: Cell, brought: CellRun, **more: Any) -> None:
    journals[cell.part].add(cell, brought, **more)


async def _run(
    cell: Cell, *, scenario: CongestionScenario, certificates: Certificates, directory: Path, out: Path
) -> CellRun:
    with own_directory(cell, within=directory, out=out, leave_out=("packets*", "reason")) as own:
        return await run_cell(cell, scenario, certificates=certificates, directory=own)
