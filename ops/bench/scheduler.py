"""What choosing costs: time per packet by open streams, for each scheduler, alone and in a pair of connections.

Four settings: the scheduler alone with streams that stay ready (`long`) and with streams of one packet that come and go
(`short`); two connections in memory, with a transfer on one of the open streams (`idle`) and with all of them ready to
send (`ready`). CPU time, both ends' where there are two. In each round every scheduler is measured with every number of
streams in an order drawn anew.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import yaml
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ops.bench.figures import spread
from ops.bench.report import Report
from ops.bench.scenario import SHIPPED, ScenarioError
from ops.bench.scheduler_cost import ConnectionPair, long_streams_s, short_streams_s
from policies.scheduling.registry import SCHEDULERS, make_scheduler

mpl.use("Agg")

from matplotlib.figure import Figure

SHIPPED_SCENARIO = SHIPPED / "scheduler.yaml"
SETTINGS = {
    "long": "the scheduler alone, streams stay ready",
    "short": "the scheduler alone, streams of one packet come and go",
    "idle": "two connections, one stream sends, the others are idle",
    "ready": "two connections, all streams are ready",
}


@dataclass(frozen=True, slots=True)
class SchedulerScenario:
    """What is measured, and how often."""

    name: str = "scheduler"
    seed: int = 1
    """Draws the order within each round."""
    schedulers: tuple[str, ...] = ()
    """Names; none for all that are registered."""
    streams: tuple[int, ...] = (1, 100, 1000, 10_000)
    packets: int = 20_000
    """Per cell and round, of the scheduler alone."""
    connection_packets: int = 1500
    """Per cell and round, of a pair of connections."""
    rounds: int = 7
    quick: Mapping[str, Any] = field(default_factory=dict)
    """The keys that `--quick` replaces."""


def read_scenario(path: Path, *, quick: bool) -> SchedulerScenario:
    """Read a file. Raises `ScenarioError`."""
    try:
        content = yaml.safe_load(path.read_text())
        values = _checked(content)
        if quick:
            values |= _checked(values.get("quick", {}))
    except (OSError, yaml.YAMLError, ScenarioError) as error:
        raise ScenarioError(f"{path}: {error}") from error
    scenario = SchedulerScenario(**{**values, "quick": {}})
    return scenario if scenario.schedulers else replace(scenario, schedulers=tuple(SCHEDULERS))


def _checked(content: object) -> dict[str, Any]:
    known = [item.name for item in fields(SchedulerScenario)]
    if not isinstance(content, Mapping):
        raise ScenarioError(f"is no mapping; allowed: {', '.join(known)}")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}
    for key, value in values.items():
        if key not in known:
            raise ScenarioError(f"{key} is unknown; allowed: {', '.join(known)}")
        if key == "schedulers":
            if not isinstance(value, tuple) or not set(value) <= set(SCHEDULERS):
                raise ScenarioError(f"schedulers: {value!r}; allowed: a list of {', '.join(SCHEDULERS)}")
        elif key == "streams":
            if not isinstance(value, tuple) or not value or not all(_is_count(item) for item in value):
                raise ScenarioError(f"streams: {value!r} is not a list of whole numbers, each at least 1")
        elif key not in {"name", "quick"} and not _is_count(value):
            raise ScenarioError(f"{key}: {value!r} is not a whole number, at least 1")
    return values


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options of its own."""


async def run(arguments: argparse.Namespace, console: Console, out: Path) -> Report:
    """Measure, show the table, draw the plot and return the report. Raises `ScenarioError`."""
    scenario = read_scenario(arguments.scenario or SHIPPED_SCENARIO, quick=arguments.quick)
    cells = measure(scenario, console)
    report = Report("scheduler", asdict(scenario), cells=cells, summary=[*summary(cells)], notes={"settings": SETTINGS})
    for setting in SETTINGS:
        console.print(table(report.summary, setting))
    console.print(f"plot: {plot(report.summary, out / 'scheduler.png')}", highlight=False)
    return report


def measure(scenario: SchedulerScenario, console: Console) -> list[dict[str, Any]]:
    """One entry a measurement."""
    cells: list[dict[str, Any]] = []
    rng = random.Random(scenario.seed)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        Progress(*columns, console=console, transient=True) as progress,
        tempfile.TemporaryDirectory(prefix="headway-bench-") as directory,
    ):
        bar = progress.add_task("connections are made", total=None)
        pairs = {streams: ConnectionPair(Path(directory), streams) for streams in scenario.streams}
        bulk = {streams: ConnectionPair(Path(directory), streams) for streams in scenario.streams}
        ways: dict[str, Callable[[str, int], float]] = {
            "long": lambda name, streams: long_streams_s(name, streams, scenario.packets),
            "short": lambda name, streams: short_streams_s(name, streams, scenario.packets),
            "idle": lambda name, streams: bulk[streams].idle_streams_s(
                make_scheduler(name), scenario.connection_packets
            ),
            "ready": lambda name, streams: pairs[streams].ready_streams_s(
                make_scheduler(name), scenario.connection_packets
            ),
        }
        visits = [(way, name, streams) for way in ways for name in scenario.schedulers for streams in scenario.streams]
        progress.update(bar, total=scenario.rounds * len(visits))
        for number in range(1, scenario.rounds + 1):
            for way, name, streams in rng.sample(visits, len(visits)):
                progress.update(bar, description=f"{way}, {name}, {streams} streams", advance=1)
                cells.append(
                    {
                        "setting": way,
                        "scheduler": name,
                        "streams": streams,
                        "round": number,
                        "metrics": {"packet_s": ways[way](name, streams)},
                    }
                )
    return cells


def summary(cells: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """One entry a setting, scheduler and number of streams, over the rounds."""
    found: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for cell in cells:
        found[cell["setting"], cell["scheduler"], cell["streams"]].append(cell["metrics"]["packet_s"])
    for (setting, name, streams), values in found.items():
        over = spread(values)
        if over is not None:
            yield {
                "setting": setting,
                "scheduler": name,
                "streams": streams,
                "rounds": len(values),
                "packet_s": asdict(over),
            }


def _rows(rows: Sequence[Mapping[str, Any]], setting: str) -> dict[str, dict[int, Mapping[str, float]]]:
    """Scheduler → number of streams → spread, in the registry's order and by number."""
    found: dict[str, dict[int, Mapping[str, float]]] = {}
    for name in SCHEDULERS:
        own = {row["streams"]: row["packet_s"] for row in rows if (row["setting"], row["scheduler"]) == (setting, name)}
        if own:
            found[name] = dict(sorted(own.items()))
    return found


def table(rows: Sequence[Mapping[str, Any]], setting: str) -> Table:
    """One setting: schedulers down, numbers of streams across."""
    title = f"{SETTINGS[setting]}: µs a packet, median (lowest to highest) over the rounds"
    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    made.add_column("scheduler", no_wrap=True)
    by_name = _rows(rows, setting)
    counts = sorted({streams for own in by_name.values() for streams in own})
    for streams in counts:
        made.add_column(str(streams), justify="right", no_wrap=True)
    for name, own in by_name.items():
        made.add_row(name, *(_figure(own[streams]) if streams in own else "–" for streams in counts))
    return made


def _figure(over: Mapping[str, float]) -> str:
    median, low, high = (over[kind] * 1e6 for kind in ("median", "low", "high"))
    digits = 2 if median < 10 else 0
    return f"{median:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def plot(rows: Sequence[Mapping[str, Any]], file: Path) -> Path:
    """A picture of all settings, open streams on a logarithmic axis; bars from the lowest to the highest round."""
    file.parent.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(11, 8), layout="constrained")
    for axes, setting in zip(figure.subplots(2, 2).flat, SETTINGS, strict=True):
        for name, own in _rows(rows, setting).items():
            medians = [over["median"] * 1e6 for over in own.values()]
            reach = [
                [(over["median"] - over["low"]) * 1e6 for over in own.values()],
                [(over["high"] - over["median"]) * 1e6 for over in own.values()],
            ]
            axes.errorbar(list(own), medians, yerr=reach, marker="o", capsize=2, label=name)
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set_title(SETTINGS[setting], fontsize=10)
        axes.set_xlabel("open streams")
        axes.set_ylabel("µs a packet")
    shown = {
        label: handle for axes in figure.axes for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    if shown:
        figure.legend(list(shown.values()), list(shown), loc="outside right center")
    figure.savefig(file, dpi=110)
    return file
