"""What `headway evaluate` does: policies on workloads, compared or tuned, with a progress bar."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from policies.evaluation import contestant, tables
from policies.evaluation.contestant import Contestant
from policies.evaluation.document import as_json, document
from policies.evaluation.jobs import cells, do, jobs_of
from policies.evaluation.named import workloads as named_workloads
from policies.evaluation.parallel import in_parallel
from policies.evaluation.plots import plot
from policies.evaluation.tune import VALIDATION_SEEDS, Knobs, TuneJob, combinations, tune
from policies.evaluation.tuned import SHIPPED, TunedOn, knobs_for, read_tuned, write_tuned
from policies.selection.tuning import TUNABLE
from policies.simulation.keys import WorkloadError
from policies.simulation.trace import draw
from policies.simulation.workload import Workload
from proxy.commands.commit import commit
from proxy.errors import HeadwayError
from proxy.profiling.machine import cores, cpu_name

Job = TypeVar("Job")
Found = TypeVar("Found")

FIRST_SEED = 1000
SEEDS = 5
"""Of a comparison that says nothing of seeds: enough for an interval, done in minutes."""

SPEED_S = 120.0
"""Of the past that the time left is estimated from: the longest job takes about as long."""

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was asked for."""

    workloads: Sequence[str]
    policies: Sequence[str]
    seeds: int | None = None
    first_seed: int | None = None
    processes: int = 0
    """0: as many as there are cores."""
    bound: bool = True
    tuned: Path | None = None
    """The file of knobs; None for the one that is shipped."""
    json_file: Path | None = None
    plots: Path | None = None
    command: str = ""
    """As it was typed, for the files."""


def compare(asked: Evaluation, console: Console) -> None:
    """Run the comparison, print its tables, write its files. Raises `HeadwayError`."""
    _require_directory(asked.json_file)
    workloads, names = _workloads(asked), _names(asked, console)
    first = FIRST_SEED if asked.first_seed is None else asked.first_seed
    seeds = range(first, first + (asked.seeds or SEEDS))
    tuned = _read_tuned(asked.tuned or SHIPPED, required=asked.tuned is not None)
    competing = [(workload, _contestants(names, workload, tuned.get(workload.name))) for workload in workloads]
    _require_everyone(names, competing)
    _note_knobs(competing, tuned, seeds, console)
    jobs = jobs_of(competing, seeds, bound=asked.bound)
    found = _with_progress(do, jobs, [job.cost for job in jobs], asked.processes, "comparing", console)
    of_workload = {workload.name: place for place, workload in enumerate(workloads)}
    policies = {
        (workload.name, one.name): place for workload, contestants in competing for place, one in enumerate(contestants)
    }
    done = sorted(
        cells(jobs, found),
        key=lambda cell: (
            of_workload[cell.result.workload],
            policies[cell.result.workload, cell.contestant.name],
            cell.result.seed,
        ),
    )
    knobs = {"file": (asked.tuned or SHIPPED).name, "seeds": {name: list(on.seeds) for name, on in tuned.items()}}
    content = document(done, workloads, about=_about(asked.command), notes={"tuned": knobs})
    for table in tables.tables(content["summary"]):
        console.print(table)
    _write(content, asked, console)


def tune_baselines(asked: Evaluation, out: Path, console: Console) -> None:
    """Search the knobs of the tunable policies on each workload and write them to a file. Raises `HeadwayError`."""
    _require_directory(out)
    workloads = _workloads(asked)
    try:
        names = [name for name in contestant.expand(asked.policies) if name in TUNABLE]
        if out.exists():
            read_tuned(out)
    except (ValueError, WorkloadError) as error:
        raise HeadwayError(str(error)) from error
    if not names:
        raise HeadwayError(f"none of {', '.join(asked.policies)} has knobs; those have: {', '.join(TUNABLE)}")
    first = VALIDATION_SEEDS[0] if asked.first_seed is None else asked.first_seed
    seeds = tuple(range(first, first + (asked.seeds or len(VALIDATION_SEEDS))))
    costs = {workload.name: len(draw(workload, first)) + 1.0 for workload in workloads}
    jobs = [TuneJob(workload, name, seeds) for workload in workloads for name in names]
    jobs.sort(key=lambda job: -costs[job.workload.name] * combinations(job.policy))
    weights = [costs[job.workload.name] * combinations(job.policy) for job in jobs]
    best = _with_progress(tune, jobs, weights, asked.processes, "tuning", console)
    found: dict[str, dict[str, Knobs]] = {workload.name: {} for workload in workloads}
    for job, knobs in zip(jobs, best, strict=True):
        found[job.workload.name][job.policy] = knobs
    there = read_tuned(out) if out.exists() else {}
    merged = {}
    for name, policies in found.items():
        kept = there[name].policies if name in there and there[name].seeds == seeds else {}
        ordered = {policy: {**kept, **policies}[policy] for policy in TUNABLE if policy in {**kept, **policies}}
        merged[name] = TunedOn(asked.command, seeds, ordered)
    write_tuned(out, merged)
    console.print(tables.tuned_table(merged))
    console.print(f"knobs of {', '.join(merged)}: {out}")


def why_unusable(name: str) -> str:
    """What keeps a policy from being made here; empty if nothing does."""
    try:
        Contestant(name).make()
    except (ValueError, OSError) as error:
        return str(error)
    return ""


def _workloads(asked: Evaluation) -> list[Workload]:
    try:
        return named_workloads(asked.workloads)
    except WorkloadError as error:
        raise HeadwayError(str(error)) from error


def _names(asked: Evaluation, console: Console) -> list[str]:
    """The policies; a learned one that `all` brought and that can't be used is left out with a line."""
    try:
        names = contestant.expand(asked.policies)
    except ValueError as error:
        raise HeadwayError(str(error)) from error
    usable = []
    for name in names:
        why = why_unusable(name) if name != contestant.STATIC else ""
        if not why:
            usable.append(name)
        elif name in asked.policies:
            raise HeadwayError(f"policy {name} can't be used: {why}")
        else:
            console.print(f"note: {name} is left out: {why}", style="yellow", markup=False)
    return usable


def _contestants(names: Sequence[str], workload: Workload, tuned: TunedOn | None) -> list[Contestant]:
    models = [candidate.model for candidate in workload.candidates]
    return list(contestant.contestants(names, workload, knobs_for(tuned, models)))


def _require_everyone(names: Sequence[str], competing: Sequence[tuple[Workload, Sequence[Contestant]]]) -> None:
    """A static model that no workload has is a mistake; one that some lack is not."""
    there = {one.name for _, contestants in competing for one in contestants}
    for name in names:
        if name != contestant.STATIC and name not in there:
            models = sorted({candidate.model for workload, _ in competing for candidate in workload.candidates})
            raise HeadwayError(f"policy {name}: no workload has that model; known are {', '.join(models)}")


def _read_tuned(file: Path, *, required: bool) -> dict[str, TunedOn]:
    if not required and not file.exists():
        return {}
    try:
        return read_tuned(file)
    except WorkloadError as error:
        raise HeadwayError(str(error)) from error


def _note_knobs(
    competing: Sequence[tuple[Workload, Sequence[Contestant]]],
    tuned: Mapping[str, TunedOn],
    seeds: range,
    console: Console,
) -> None:
    """Say where a comparison is not what it seems: knobs not searched for, or on the very seeds."""
    for workload, contestants in competing:
        default = [one.name for one in contestants if one.name in TUNABLE and not one.tuned]
        if default:
            line = f"{workload.name}: {', '.join(default)} have default knobs; --tune FILE finds better ones"
            console.print(f"note: {line}", style="yellow", markup=False)
        overlap = [seed for seed in seeds if workload.name in tuned and seed in tuned[workload.name].seeds]
        if overlap:
            line = f"{workload.name}: knobs were tuned on the seeds {', '.join(map(str, overlap))}, of this comparison"
            console.print(f"note: {line}", style="yellow", markup=False)


def _with_progress(
    do_one: Callable[[Job], Found],
    jobs: Sequence[Job],
    costs: Sequence[float],
    processes: int,
    what: str,
    console: Console,
) -> list[Found]:
    """What each job came to, in their order. The bar counts costs, the figures beside it jobs."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # read by numpy in new processes: a process has one core
    found: dict[int, Found] = {}
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        speed_estimate_period=SPEED_S,
    )
    with bar:
        task = bar.add_task(what, total=sum(costs), count=f"0/{len(jobs)}")
        for place, one in in_parallel(do_one, jobs, processes=processes or cores()):
            found[place] = one
            bar.update(task, advance=costs[place], count=f"{len(found)}/{len(jobs)}")
    return [found[place] for place in range(len(jobs))]


def _write(content: Mapping[str, Any], asked: Evaluation, console: Console) -> None:
    try:
        if asked.json_file is not None:
            asked.json_file.write_text(as_json(content), encoding="utf-8")
            console.print(f"results: {asked.json_file}", markup=False)
        if asked.plots is not None:
            files = plot(content, asked.plots)
            console.print(f"{len(files)} plots: {asked.plots}", markup=False)
    except OSError as error:
        raise HeadwayError(str(error)) from error


def _require_directory(file: Path | None) -> None:
    """Before hours of work: whether its result can be written."""
    if file is not None and not file.absolute().parent.is_dir():
        raise HeadwayError(f"{file}: there is no directory {file.parent}")


def _about(command: str) -> dict[str, Any]:
    return {"command": command, "commit": commit(ROOT), "machine": {"cpu": cpu_name(), "cores": cores()}}
