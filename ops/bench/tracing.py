"""What tracing costs: calls per second, CPU time and latency of headway's path, by where its spans go.

All ways are headway over QUIC before the same backend, each with processes of its own. In each round every way is
measured, one right after the other in an order drawn anew, and compared with the way without tracing in the same round:
a slow minute of the machine falls on all of them. All processes are started anew every few rounds: two that do the same
differ by 2 to 3 % for as long as they live.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import statistics
import tempfile
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ops.bench.certificates import make_certificates
from ops.bench.client import LoadGenerator, load_generator
from ops.bench.figures import Measurement
from ops.bench.headway import HeadwaySettings, RunningHeadway, running_headway
from ops.bench.processes import CommandError, python, started
from ops.bench.report import Report
from ops.bench.scenario import ScenarioError
from ops.bench.serving import port_of
from proxy.testing.ports import free_port

START_TRIES = 20
OUTCOMES = ("exported", "failed", "dropped")
OFF = "off"


@dataclass(frozen=True, slots=True)
class Way:
    """Where spans go."""

    summary: str
    environment: Mapping[str, str]
    collector: str = ""
    """State of the collector (`ops.bench.collector`), `away` for a port where nobody listens; empty for none."""


_RATIO = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio"}
WAYS = {
    OFF: Way("no tracing", {"OTEL_SDK_DISABLED": "true"}),
    "1%": Way("1 % of the calls, and missed deadlines, to a file", {**_RATIO, "OTEL_TRACES_SAMPLER_ARG": "0.01"}),
    "file": Way("every call, to a file", {}),
    "collector": Way("every call, to a collector over gRPC", {}, "well"),
    "away": Way("the same, nobody listening", {}, "away"),
    "hung": Way("the same, a collector that accepts and never answers", {}, "hung"),
    "slow": Way("the same, a collector that takes a second for each request", {}, "slow"),
}


@dataclass(frozen=True, slots=True)
class TracingScenario:
    """What is measured, and how long."""

    ways: tuple[str, ...] = tuple(WAYS)
    body: int = 128
    """Bytes of a request's raw input."""
    callers: tuple[int, ...] = (16,)
    """Callers in a closed loop. One shows the latency best, sixteen the calls per second."""
    seconds: float = 0.5
    """A way in a round."""
    rounds: int = 20
    starts: int = 4
    """How often all processes are started; the rounds are spread over them."""
    seed: int = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this experiment."""
    parser.add_argument("--ways", metavar="NAME,…", help=f"of {', '.join(WAYS)}".replace("%", "%%"))
    parser.add_argument("--callers", metavar="N,…", help="callers in a closed loop; 16")
    parser.add_argument("--body", type=int, metavar="BYTES", help="size of a request; 128")
    parser.add_argument("--seconds", type=float, help="a way in a round; 0.5")
    parser.add_argument("--rounds", type=int, help="20")
    parser.add_argument("--starts", type=int, help="of all processes, for a share of the rounds each; 4")


def scenario_of(arguments: argparse.Namespace) -> TracingScenario:
    """What the options ask for. Raises `ScenarioError`."""
    if arguments.scenario is not None:
        raise ScenarioError("tracing has no scenario file; its options say what is measured")
    given: dict[str, Any] = {"rounds": 5, "starts": 1} if arguments.quick else {}
    options = ("body", "seconds", "rounds", "starts")
    given |= {key: value for key in options if (value := getattr(arguments, key)) is not None}
    if arguments.ways is not None:
        given["ways"] = (OFF, *(name for name in arguments.ways.split(",") if name != OFF))
        if unknown := [name for name in given["ways"] if name not in WAYS]:
            raise ScenarioError(f"--ways: {', '.join(unknown)} unknown; allowed: {', '.join(WAYS)}")
    if arguments.callers is not None:
        if not all(one.isdecimal() and int(one) for one in arguments.callers.split(",")):
            raise ScenarioError(f"--callers: {arguments.callers!r} is no list of whole numbers, each at least 1")
        given["callers"] = tuple(int(one) for one in arguments.callers.split(","))
    return TracingScenario(**given)


async def run(arguments: argparse.Namespace, console: Console, out: Path) -> Report:  # noqa: ARG001 - no pictures
    """Measure, show the table and return the report. Raises `ScenarioError`."""
    scenario = scenario_of(arguments)
    cells, spans = await measure(scenario, console)
    summary = summarise(cells, scenario, spans)
    for callers in scenario.callers:
        console.print(table([row for row in summary if row["callers"] == callers], callers))
    return Report("tracing", asdict(scenario), cells=cells, summary=summary)


async def measure(
    scenario: TracingScenario, console: Console
) -> tuple[list[dict[str, Any]], dict[str, dict[str, int]]]:
    """Start everything, visit all ways in each round, stop everything, and again: the cells, and each way's spans."""
    cells: list[dict[str, Any]] = []
    spans = {name: dict.fromkeys(OUTCOMES, 0) for name in scenario.ways}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("", total=scenario.rounds * len(scenario.ways) * len(scenario.callers))
        for start in range(scenario.starts):
            progress.update(bar, description="starting")
            async with _started(scenario) as (load, ways):
                for number in range(scenario.rounds)[start :: scenario.starts]:
                    async for cell in _round(scenario, number, load, ways):
                        cells.append(cell)
                        progress.update(bar, advance=1, description=f"{cell['callers']} callers, {cell['way']}")
                for name, way in ways.items():
                    for outcome, count in (await asyncio.to_thread(way.spans)).items():
                        spans[name][outcome] += count
    return cells, spans


@contextlib.asynccontextmanager
async def _started(scenario: TracingScenario) -> AsyncIterator[tuple[LoadGenerator, dict[str, _OpenWay]]]:
    """The load generator, and every way."""
    async with contextlib.AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headway-bench-")))
        backend = await stack.enter_async_context(
            started("backend", python("ops.bench.backend"), log=directory / "backend.log")
        )
        load = await stack.enter_async_context(load_generator("load", directory / "load.log"))
        opener = _Opener(f"127.0.0.1:{port_of(backend.ready_line)}", directory, load)
        yield load, {name: await stack.enter_async_context(opener.open(name)) for name in scenario.ways}


async def _round(
    scenario: TracingScenario, number: int, load: LoadGenerator, ways: Mapping[str, _OpenWay]
) -> AsyncIterator[dict[str, Any]]:
    """A cell for each number of callers and way."""
    order = random.Random(scenario.seed * 1000 + number)
    for callers in scenario.callers:
        for name in order.sample(list(ways), len(ways)):
            running = ways[name].headway
            measured = await load.measure(
                running.address,
                body_bytes=scenario.body,
                callers=callers,
                seconds=scenario.seconds,
                warm_up_s=0.1,
                seed=scenario.seed + number,
                pids=[running.proxy.pid, running.daemon.pid],
            )
            yield {"way": name, "callers": callers, "round": number + 1, "metrics": asdict(measured)}


@dataclass(frozen=True, slots=True)
class _OpenWay:
    headway: RunningHeadway
    metrics: tuple[int, int]
    """Ports of the proxy's and the daemon's."""

    def spans(self) -> dict[str, int]:
        """What became of the spans of both, by outcome. Blocks."""
        found = dict.fromkeys(OUTCOMES, 0)
        for port in self.metrics:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
                found_here = spans_in(page.read().decode())
            for outcome in OUTCOMES:
                found[outcome] += found_here.get(outcome, 0)
        return found


def spans_in(page: str) -> dict[str, int]:
    """`headway_spans_total` of a metrics page, by outcome."""
    found: dict[str, int] = {}
    for line in page.splitlines():
        if line.startswith("headway_spans_total{"):
            labels, _, number = line.rpartition(" ")
            found[labels.split('outcome="')[1].split('"')[0]] = int(float(number))
    return found


class _Opener:
    def __init__(self, backend: str, directory: Path, load: LoadGenerator) -> None:
        self._backend = backend
        self._directory = directory
        self._load = load
        self._certificates = make_certificates(directory)

    @contextlib.asynccontextmanager
    async def open(self, name: str) -> AsyncIterator[_OpenWay]:
        """A way that calls come back over."""
        directory = self._directory / name
        directory.mkdir()
        way, ports = WAYS[name], (free_port(), free_port())
        environment = {**way.environment}
        async with contextlib.AsyncExitStack() as stack:
            if way.collector:
                port = free_port()
                if way.collector != "away":
                    command = python("ops.bench.collector", way.collector)
                    child = await stack.enter_async_context(
                        started(f"collector {name}", command, log=directory / "collector.log")
                    )
                    port = port_of(child.ready_line)
                environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{port}"
            listens = [f"127.0.0.1:{port}" for port in ports]
            config = {"proxy": {"metrics_listen": listens[0]}, "daemon": {"metrics_listen": listens[1]}}
            headway = await stack.enter_async_context(
                running_headway(
                    name,
                    HeadwaySettings(config=config, environment=environment),
                    backend=self._backend,
                    certificates=self._certificates,
                    directory=directory,
                )
            )
            for left in reversed(range(START_TRIES)):
                try:
                    await self._load.probe(headway.address, timeout_s=1.0)
                    break
                except CommandError:
                    if not left:
                        raise
            yield _OpenWay(headway, ports)


FIGURES: dict[str, Callable[[Any, Any], float]] = {
    "calls_per_s": lambda here, _: here.calls_per_s,
    "cpu_s_per_call": lambda here, _: here.cpu_s_per_call,
    "p50_s": lambda here, _: here.p50_s,
    "p99_s": lambda here, _: here.p99_s,
    "rate_to_off": lambda here, off: here.calls_per_s / off.calls_per_s,
    "cpu_to_off": lambda here, off: here.cpu_s_per_call / off.cpu_s_per_call,
    "p50_to_off": lambda here, off: here.p50_s / off.p50_s,
    "p99_to_off": lambda here, off: here.p99_s / off.p99_s,
}
"""Of one measurement, and that without tracing in the same round."""


def summarise(
    cells: Sequence[Mapping[str, Any]], scenario: TracingScenario, spans: Mapping[str, Mapping[str, int]]
) -> list[dict[str, Any]]:
    """A row each number of callers and way: median and quartiles over the rounds."""
    rows: list[dict[str, Any]] = []
    for callers in scenario.callers:
        rounds: dict[int, dict[str, Measurement]] = {}
        for cell in cells:
            if cell["callers"] == callers:
                rounds.setdefault(cell["round"], {})[cell["way"]] = Measurement(**cell["metrics"])
        for name in scenario.ways:
            row: dict[str, Any] = {"way": name, "callers": callers, "rounds": len(rounds), "spans": dict(spans[name])}
            row["errors"] = sum(ways[name].errors for ways in rounds.values())
            row["least_cpu_s_per_call"] = min(ways[name].cpu_s_per_call or 0.0 for ways in rounds.values())
            for figure, of in FIGURES.items():
                row[figure] = _quartiles([of(ways[name], ways[OFF]) for ways in rounds.values() if ways[name].calls])
            rows.append(row)
    return rows


def _quartiles(values: Sequence[float]) -> dict[str, float]:
    """Median and quartiles; of fewer than two values that one."""
    if len(values) < 2:
        return dict.fromkeys(("low", "median", "high"), values[0] if values else 0.0)
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"low": low, "median": median, "high": high}


HEADINGS = (
    *("way", "calls/s", "× off", "CPU µs", "× off", "least", "p50 ms", "× off", "p99 ms", "× off"),
    *("spans", "lost"),
)


def table(rows: Sequence[Mapping[str, Any]], callers: int) -> Table:
    """What the summary says of one number of callers. The least CPU time is that of the least disturbed round."""
    title = f"{callers} callers: median over the rounds, and against no tracing in the same round (quartiles)"
    shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in HEADINGS:
        shown.add_column(heading, justify="left" if heading == "way" else "right", no_wrap=True)
    for row in rows:
        lost = row["spans"]["failed"] + row["spans"]["dropped"]
        failures = f" [red]({row['errors']} failed)[/]" if row["errors"] else ""
        shown.add_row(
            row["way"] + failures,
            f"{row['calls_per_s']['median']:.0f}",
            _ratio(row["rate_to_off"]),
            f"{row['cpu_s_per_call']['median'] * 1e6:.0f}",
            _ratio(row["cpu_to_off"]),
            f"{row['least_cpu_s_per_call'] * 1e6:.0f}",
            f"{row['p50_s']['median'] * 1e3:.2f}",
            f"{row['p50_to_off']['median']:.2f}",
            f"{row['p99_s']['median'] * 1e3:.1f}",
            _ratio(row["p99_to_off"]),
            str(row["spans"]["exported"]),
            str(lost),
        )
    return shown


def _ratio(values: Mapping[str, float]) -> str:
    return f"{values['median']:.2f} ({values['low']:.1f}-{values['high']:.1f})"
