"""Workloads by what a user calls them: a file, the name of a shipped one, or a set of those."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from policies.simulation.keys import WorkloadError
from policies.simulation.workload import Workload
from policies.simulation.workload_file import read_workload, shipped_workloads

SMALL = Path(__file__).parent / "workloads"
"""Those of which every trace is small enough for the exact bound."""
SETS = ("all", "small")


def workloads(names: Sequence[str]) -> list[Workload]:
    """Those of the names, each once. Raises `WorkloadError` for an unknown name, a bad file, two of one name."""
    paths: list[Path] = []
    for name in names:
        paths += _paths(name)
    found = [read_workload(path) for path in dict.fromkeys(paths)]
    called = [workload.name for workload in found]
    for place, name in enumerate(called):
        if name in called[:place]:
            raise WorkloadError(f"{list(dict.fromkeys(paths))[place]}: name: {name!r} is another workload's already")
    return found


def _paths(name: str) -> list[Path]:
    shipped = {path.stem: path for path in shipped_workloads()}
    small = {path.stem: path for path in sorted(SMALL.glob("*.yaml"))}
    if name == "all":
        return list(shipped.values())
    if name == "small":
        return list(small.values())
    if name in {**shipped, **small}:
        return [{**shipped, **small}[name]]
    path = Path(name)
    if path.exists():
        return [path]
    allowed = ", ".join([*SETS, *shipped, *small])
    raise WorkloadError(f"{name}: neither a file nor a shipped workload; those are {allowed}")
