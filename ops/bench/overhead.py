"""What the detour costs: latency, CPU time and calls per second of headway's path and its peers, cell by cell.

A cell is a body size, a number of callers and a number of other streams open. In each round every cell is measured on
every path, one right after the other in an order drawn anew, so that a slow minute of the machine falls on all of
them. Client, backend and the path's processes share this machine, over loopback.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import random
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ops.bench.arguments import list_of
from ops.bench.certificates import make_certificates
from ops.bench.client import LoadGenerator, load_generator
from ops.bench.figures import Measurement, Spread, compare
from ops.bench.headway import HeadwaySettings
from ops.bench.peers import PEERS, Surroundings, Way
from ops.bench.processes import ChildError, CommandError, python, started
from ops.bench.profiled import begin
from ops.bench.profiling import Profiling
from ops.bench.report import Report
from ops.bench.scenario import SHIPPED, OverheadScenario, ScenarioError, read_scenario
from ops.bench.serving import port_of
from ops.bench.table import print_tables, print_verdicts

SHIPPED_SCENARIO = SHIPPED / "overhead.yaml"

START_TRIES = 20
"""Probes of a second each before a path counts as one that does not start. A profiled daemon needs about three."""


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """One setting that all paths are measured in."""

    idle_streams: int
    body_bytes: int
    callers: int


@dataclass(slots=True)
class Found:
    """What the rounds brought."""

    rounds: dict[Cell, list[dict[str, Measurement]]] = field(default_factory=lambda: defaultdict(list))
    unavailable: dict[str, str] = field(default_factory=dict)
    """Paths that could not be measured, or not in some cells, with the reason."""

    def cells(self) -> Iterator[dict[str, Any]]:
        """One entry a measurement."""
        for cell, rounds in self.rounds.items():
            for number, paths in enumerate(rounds, 1):
                for peer, measured in paths.items():
                    yield {"peer": peer, **asdict(cell), "round": number, "metrics": asdict(measured)}

    def summary(self, peers: Sequence[str]) -> Iterator[dict[str, Any]]:
        """One entry a cell and path, over the rounds, the paths in the order of `peers`."""
        for cell, rounds in sorted(self.rounds.items()):
            for peer in peers:
                if not (found := compare(rounds, peer)):
                    continue
                yield {
                    "peer": peer,
                    **asdict(cell),
                    "rounds": sum(peer in paths for paths in rounds),
                    **{
                        kind: {name: getattr(value, kind) for name, value in found.items()}
                        for kind in Spread.__dataclass_fields__
                    },
                }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this experiment."""
    parser.add_argument("--peers", type=list_of(str), metavar="NAME,…", help=f"of {', '.join(PEERS)}")
    parser.add_argument("--bodies", type=list_of(int), metavar="BYTES,…")
    parser.add_argument("--concurrency", type=list_of(int), metavar="N,…")
    parser.add_argument("--idle-streams", type=list_of(int), metavar="N,…", help="other streams open meanwhile")
    parser.add_argument("--seconds", type=float, help="per cell, path and round")
    parser.add_argument("--rounds", type=int)
    parser.add_argument(
        "--profile",
        nargs="?",
        const="samples",
        choices=("samples", "calls"),
        help="show where the time of headway's processes went: by sampling, or by counting calls (cProfile)",
    )


async def run(arguments: argparse.Namespace, console: Console, out: Path) -> Report:
    """Measure, show the table and return the report. Raises `ScenarioError`."""
    scenario = _scenario(arguments)
    profiling = Profiling(arguments.profile, out) if arguments.profile else None
    found = await measure(scenario, console, profiling)
    report = Report(
        "overhead",
        scenario.as_json(),
        cells=[*found.cells()],
        summary=[*found.summary(scenario.peers)],
        notes={"unavailable": found.unavailable},
    )
    print_tables(report.summary, console)
    for peer, reason in found.unavailable.items():
        console.print(f"{peer} not measured: {_last_line(reason)}", highlight=False, markup=False)
    print_verdicts(report.summary, console)
    if profiling is not None:
        profiling.show(console)
    return report


def _last_line(reason: str) -> str:
    """The end of a traceback; results.json has all of it."""
    first, *rest = reason.splitlines()
    return f"{first} {rest[-1]}" if rest else first


def _scenario(arguments: argparse.Namespace) -> OverheadScenario:
    scenario = read_scenario(arguments.scenario or SHIPPED_SCENARIO)
    if arguments.quick:
        scenario = scenario.quickened()
    given = ("peers", "bodies", "concurrency", "idle_streams", "seconds", "rounds")
    scenario = scenario.with_values({key: value for key in given if (value := getattr(arguments, key)) is not None})
    if unknown := [name for name in scenario.peers if name not in PEERS]:
        raise ScenarioError(f"peers: {', '.join(unknown)} unknown; allowed: {', '.join(PEERS)}")
    return scenario


async def measure(scenario: OverheadScenario, console: Console, profiling: Profiling | None) -> Found:
    """Start the backend, the paths and the clients, visit all cells, stop everything."""
    found = Found()
    async with contextlib.AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headway-bench-")))
        backend = await stack.enter_async_context(
            started("backend", python("ops.bench.backend"), log=directory / "backend.log")
        )
        load = await stack.enter_async_context(load_generator("load", directory / "load.log"))
        around = Surroundings(
            f"127.0.0.1:{port_of(backend.ready_line)}",
            make_certificates(directory),
            directory,
            HeadwaySettings(config=scenario.headway, environment=scenario.environment, profiling=profiling),
        )
        ways: dict[str, Way] = {}
        for peer in scenario.peers:
            try:
                ways[peer] = await stack.enter_async_context(_open(peer, around, load))
            except ChildError as error:
                found.unavailable[peer] = str(error)
            else:
                if profiling is not None and peer.startswith("headway-"):
                    for child in ways[peer].children:
                        begin(child.pid)
        for idle_streams in scenario.idle_streams:
            async with _held(ways, idle_streams, directory, found) as usable:
                await _visit(scenario, idle_streams, usable, load, found, console)
        if profiling is not None:
            profiling.note_calls(found.cells())
    return found


@contextlib.asynccontextmanager
async def _open(peer: str, around: Surroundings, load: LoadGenerator) -> AsyncIterator[Way]:
    """The path, when a call has come back over it. Raises `ChildError` with the reason why not."""
    async with PEERS[peer](peer, around) as way:
        for left in reversed(range(START_TRIES)):
            try:
                await load.probe(way.address, timeout_s=1.0)
                break
            except CommandError:
                for child in way.children:
                    if (ended := child.ended()) is not None:
                        raise ended from None
                if not left:
                    raise
        yield way


@contextlib.asynccontextmanager
async def _held(ways: dict[str, Way], streams: int, directory: Path, found: Found) -> AsyncIterator[dict[str, Way]]:
    """The paths on which `streams` idle streams could be opened, with the streams open."""
    if not streams:
        yield ways
        return
    usable: dict[str, Way] = {}
    async with contextlib.AsyncExitStack() as stack:
        for peer, way in ways.items():
            holder = await stack.enter_async_context(
                load_generator(f"{streams} streams on {peer}", directory / f"held-{peer}.log")
            )
            try:
                await holder.hold(way.address, streams=streams)
            except CommandError as error:
                found.unavailable[f"{peer}, {streams} idle streams"] = str(error)
            else:
                usable[peer] = way
        yield usable


async def _visit(
    scenario: OverheadScenario,
    idle_streams: int,
    ways: dict[str, Way],
    load: LoadGenerator,
    found: Found,
    console: Console,
) -> None:
    cells = [Cell(idle_streams, *sizes) for sizes in itertools.product(scenario.bodies, scenario.concurrency)]
    order = random.Random(scenario.seed)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("", total=scenario.rounds * len(cells) * len(ways))
        for number in range(scenario.rounds):
            for cell in cells:
                found.rounds[cell].append({})
                for peer in order.sample(list(ways), len(ways)):
                    label = f"{cell.body_bytes} B, {cell.callers} callers, {peer}"
                    progress.update(bar, description=label)
                    found.rounds[cell][-1][peer] = await load.measure(
                        ways[peer].address,
                        body_bytes=cell.body_bytes,
                        callers=cell.callers,
                        seconds=scenario.seconds,
                        warm_up_s=scenario.warm_up,
                        seed=scenario.seed + number,
                        pids=[child.pid for child in ways[peer].children],
                    )
                    progress.advance(bar)
