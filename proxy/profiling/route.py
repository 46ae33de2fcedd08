"""Measures the models behind a route and writes their profile files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from policies.profile_file import Origin, ProfileEntry, write_entries
from proxy.clock import MonotonicClock
from proxy.commands.extras import from_extra
from proxy.config import Address, CandidateSettings, Config
from proxy.errors import ConfigError
from proxy.profiling.machine import cores, cpu_name, gpu_names
from proxy.profiling.model import ProfilingError
from proxy.profiling.payload import Payload, Wishes
from proxy.profiling.report import what
from proxy.profiling.result import entry
from proxy.profiling.streams import measure_streams
from proxy.profiling.sweep import Limits, measure
from proxy.profiling.unary import settings

YAML_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be measured, and how it is written down."""

    route: str
    out: str
    """A directory, a YAML file, or a path with `{model}`."""
    wishes: Wishes
    limits: Limits
    streams: int
    """At most so many at once."""
    command: str
    now: datetime
    """For the file."""
    notes: tuple[str, ...] = ()
    """What the user wants the file's readers to know."""


async def profile_route(config: Config, plan: Plan, *, console: Console) -> list[tuple[Path, ProfileEntry]]:
    """Measure each candidate in turn and write the files; each entry with its file.

    Progress goes to the console. Raises `ConfigError` where the configuration has no such route, `ProfilingError` where
    a model can't be measured or a file can't be written; files of candidates that were done before stay.
    """
    daemon = config.require_daemon()
    if plan.route not in daemon.routes:
        routes = ", ".join(daemon.routes) or "none: the file has no routes"
        raise ConfigError([config.problem("daemon.routes", f"there is no route {plan.route}", routes)])
    candidates = daemon.routes[plan.route].candidates
    files = files_for(plan.out, candidates)
    _make_room(files)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    done: list[tuple[Path, ProfileEntry]] = []
    with Progress(*columns, console=console, transient=True) as progress:
        for number, (candidate, path) in enumerate(zip(candidates, files, strict=True), 1):
            who = f"{candidate.model} ({number} of {len(candidates)})"
            task = progress.add_task(who, total=None)

            def tell(kind: str, at: int, *, task: TaskID = task, who: str = who) -> None:
                progress.update(task, description=f"{who}: {what(kind, at)}")

            found = await _measure(daemon.tritons[candidate.triton].url, candidate, plan, tell)
            progress.remove_task(task)
            done.append((path, found))
            _write(path, [each for file, each in done if file == path])
    return done


def files_for(out: str, candidates: Sequence[CandidateSettings]) -> list[Path]:
    """Each candidate's file. A directory gets `MODEL.yaml` for each; a YAML file gets all of them.

    `{model}` and `{triton}` in the name stand for the candidate's. Raises `ProfilingError` where two would collide.
    """
    if "{model}" not in out and not out.endswith(YAML_SUFFIXES):
        out = f"{out}/{{model}}.yaml"
    paths = [Path(out.replace("{model}", each.model).replace("{triton}", each.triton)) for each in candidates]
    keys = {(path, each.model) for path, each in zip(paths, candidates, strict=True)}
    if len(keys) < len(candidates):
        raise ProfilingError(
            f"two candidates have the same model, and would have the same place in {out}; "
            "name the files by both: --out 'DIR/{triton}-{model}.yaml'"
        )
    return paths


async def _measure(
    url: Address, candidate: CandidateSettings, plan: Plan, progress: Callable[[str, int], None]
) -> ProfileEntry:
    with from_extra("daemon", "headway profile"):
        from proxy.profiling.server import TritonModel  # noqa: PLC0415

    clock = MonotonicClock()
    async with TritonModel(url, candidate.model) as server:
        model = await server.describe()
        payload = Payload(model, plan.wishes)
        if model.decoupled:
            points = await measure_streams(
                model, payload, server, plan.limits, most=plan.streams, clock=clock, progress=progress
            )
        else:
            points = await measure(settings(model, payload, server, clock), plan.limits, clock=clock, progress=progress)
    return entry(model, points, _origin(url, plan), unit=payload.unit)


def _origin(url: Address, plan: Plan) -> Origin:
    at = plan.now.isoformat(timespec="seconds")
    if not url.is_loopback:
        elsewhere = "The server ran on another machine than headway profile, with hardware that is not known here."
        return Origin("measured", at, plan.command, notes=(*plan.notes, elsewhere))
    return Origin("measured", at, plan.command, cpu=cpu_name(), cores=cores(), gpus=gpu_names(), notes=plan.notes)


def _make_room(files: Sequence[Path]) -> None:
    """Before minutes of measuring."""
    for path in files:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ProfilingError(f"{path.parent}: {error.strerror}") from error
        if path.is_dir():
            raise ProfilingError(f"{path} is a directory")


def _write(path: Path, entries: Sequence[ProfileEntry]) -> None:
    try:
        write_entries(path, entries)
    except OSError as error:
        raise ProfilingError(f"{path}: {error.strerror}") from error
