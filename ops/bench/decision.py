"""What deciding costs: the time of one decision in the daemon's selection, for each policy, by number of candidates.

Everything that a request goes through there counts: the accounts of all candidates, the arrival rates, the way back,
the policy with its guard. Candidates, their profiles and the classes are those of shipped workloads. In each round
every policy is measured with every workload in an order drawn anew.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ops.bench.decision_cost import DecisionLoad, DecisionTimes, decision_times
from ops.bench.figures import spread
from ops.bench.report import Report
from ops.bench.scenario import SHIPPED, ScenarioError
from policies.selection.registry import POLICIES, make_policy
from policies.simulation.keys import WorkloadError
from policies.simulation.workload_file import read_workload

SHIPPED_SCENARIO = SHIPPED / "decision.yaml"
FIGURES = {item.name: item.name.removesuffix("_s").replace("_", " ") for item in fields(DecisionTimes)}


@dataclass(frozen=True, slots=True)
class DecisionScenario:
    """What is measured, and how often."""

    name: str = "decision"
    seed: int = 1
    """Draws the order within each round, and the arrivals."""
    policies: tuple[str, ...] = ()
    """Names; none for all that are registered under a name alone."""
    workloads: tuple[str, ...] = ("stable", "five", "tokens")
    """Shipped workloads, or files, for their candidates and classes, and for whether answers are token streams."""
    rate: float = 30.0
    """Requests a second: enough for queues and batches of several sizes."""
    decisions: int = 5000
    """Per cell and round."""
    warm_up: int = 500
    rounds: int = 5
    quick: Mapping[str, Any] = field(default_factory=dict)
    """The keys that `--quick` replaces."""


def read_scenario(path: Path, *, quick: bool) -> DecisionScenario:
    """Read a file. Raises `ScenarioError`."""
    try:
        values = _checked(yaml.safe_load(path.read_text()))
        if quick:
            values |= _checked(values.get("quick", {}))
    except (OSError, yaml.YAMLError, ScenarioError) as error:
        raise ScenarioError(f"{path}: {error}") from error
    scenario = DecisionScenario(**{**values, "quick": {}})
    return scenario if scenario.policies else replace(scenario, policies=tuple(POLICIES))


def _checked(content: object) -> dict[str, Any]:
    known = [item.name for item in fields(DecisionScenario)]
    if not isinstance(content, Mapping):
        raise ScenarioError(f"is no mapping; allowed: {', '.join(known)}")
    for key, value in content.items():
        if key not in known:
            raise ScenarioError(f"{key} is unknown; allowed: {', '.join(known)}")
        if key in {"policies", "workloads"}:
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise ScenarioError(f"{key}: {value!r} is not a list of names")
        elif key == "rate":
            if not isinstance(value, (int, float)) or isinstance(value, bool) or value <= 0:
                raise ScenarioError(f"rate: {value!r} is not a number above 0")
        elif key not in {"name", "quick"} and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise ScenarioError(f"{key}: {value!r} is not a whole number, at least 1")
    return {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options of its own."""


async def run(arguments: argparse.Namespace, console: Console, out: Path) -> Report:  # noqa: ARG001 - no pictures
    """Measure, show the tables and return the report. Raises `ScenarioError`."""
    scenario = read_scenario(arguments.scenario or SHIPPED_SCENARIO, quick=arguments.quick)
    scenario, absent = _there(scenario)
    cells = await measure(scenario, console)
    report = Report(
        "decision", asdict(scenario), cells=cells, summary=[*summary(cells)], notes={"not_measured": absent}
    )
    for name in scenario.workloads:
        console.print(table(report.summary, name))
    for name, why in absent.items():
        console.print(f"not measured: {name}: {why}", highlight=False)
    return report


def _there(scenario: DecisionScenario) -> tuple[DecisionScenario, dict[str, str]]:
    """The scenario without the policies that can't be had, and why not."""
    absent: dict[str, str] = {}
    for name in scenario.policies:
        try:
            make_policy(name)
        except (ValueError, ImportError) as error:
            absent[name] = str(error)
    return replace(scenario, policies=tuple(name for name in scenario.policies if name not in absent)), absent


async def measure(scenario: DecisionScenario, console: Console) -> list[dict[str, Any]]:
    """One entry a measurement. Raises `ScenarioError` for a workload that can't be read."""
    try:
        workloads = {name: read_workload(name) for name in scenario.workloads}
    except WorkloadError as error:
        raise ScenarioError(str(error)) from error
    cells: list[dict[str, Any]] = []
    rng = random.Random(scenario.seed)
    visits = [(policy, workload) for policy in scenario.policies for workload in workloads]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("", total=scenario.rounds * len(visits))
        for number in range(1, scenario.rounds + 1):
            for policy, name in rng.sample(visits, len(visits)):
                workload = workloads[name]
                candidates = len(workload.candidates)
                progress.update(bar, description=f"{policy}, {name}, {candidates} candidates", advance=1)
                load = DecisionLoad(policy, workload, rate=scenario.rate, seed=scenario.seed + number)
                times = await decision_times(load, scenario.decisions, warm_up=scenario.warm_up)
                cells.append(
                    {
                        "policy": policy,
                        "workload": name,
                        "candidates": candidates,
                        "round": number,
                        "shed": load.shed,
                        "metrics": asdict(times),
                    }
                )
    return cells


def summary(cells: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """One entry a policy and workload, over the rounds."""
    found: dict[tuple[str, str, int], list[Mapping[str, float]]] = defaultdict(list)
    for cell in cells:
        found[cell["policy"], cell["workload"], cell["candidates"]].append(cell["metrics"])
    for (policy, workload, candidates), rounds in found.items():
        spreads = {name: spread([metrics[name] for metrics in rounds]) for name in FIGURES}
        yield {
            "policy": policy,
            "workload": workload,
            "candidates": candidates,
            "rounds": len(rounds),
            **{name: asdict(over) for name, over in spreads.items() if over is not None},
        }


def table(rows: Sequence[Mapping[str, Any]], workload: str) -> Table:
    """One workload: policies down, the one that takes longest last, figures across."""
    own = [row for row in rows if row["workload"] == workload]
    candidates = own[0]["candidates"]
    what = "µs a decision, and of the event loop's longest hold; medians over the rounds"
    title = f"{workload}, {candidates} candidates: {what}"
    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    made.add_column("policy", no_wrap=True)
    for heading in FIGURES.values():
        made.add_column(heading, justify="right", no_wrap=True)
    for row in sorted(own, key=lambda row: float(row["p50_s"]["median"])):
        made.add_row(row["policy"], *(f"{row[name]['median'] * 1e6:.0f}" for name in FIGURES))
    return made
