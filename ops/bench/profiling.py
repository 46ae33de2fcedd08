"""Where headway's own time went, per call that it carried: reads what `profiled` left."""

from __future__ import annotations

import json
import pstats
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich import box
from rich.console import Console
from rich.table import Table

from ops.bench.processes import ROOT

Kind = Literal["samples", "calls"]

TOP = 40

ENDINGS = {"samples": "samples.json", "calls": "pstats"}


@dataclass(frozen=True, slots=True)
class Cost:
    """One function of a process."""

    function: str
    own_s: float
    total_s: float
    """With what it called."""
    times: int | None = None
    """How often it ran; None where that was not counted."""


@dataclass(slots=True)
class Profiling:
    """A run whose headway processes leave a profile in `directory`, in files called PATH-ROLE."""

    kind: Kind
    directory: Path
    calls: dict[str, int] = field(default_factory=dict)
    """Calls that each path carried while it was profiled, without the warm-up's, which is in the profile too."""

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        for left in self.directory.glob(f"*.{ENDINGS[self.kind]}"):
            left.unlink()

    def command(self, name: str) -> tuple[str, ...]:
        """What stands between `python` and a module's name to profile it."""
        return "-m", "ops.bench.profiled", self.kind, str(self.directory / f"{name}.{ENDINGS[self.kind]}")

    def note_calls(self, cells: Iterable[dict[str, Any]]) -> None:
        """Count the calls of each path."""
        for cell in cells:
            self.calls[cell["peer"]] = self.calls.get(cell["peer"], 0) + cell["metrics"]["calls"]

    def show(self, console: Console) -> None:
        """One table a process: the functions with the most time of their own."""
        files = sorted(self.directory.glob(f"*.{ENDINGS[self.kind]}"))
        if not files:
            console.print("no profile was left: headway writes it when it ends by SIGTERM")
        for file in files:
            name = file.name.removesuffix(f".{ENDINGS[self.kind]}")
            carried = self.calls.get(name.rpartition("-")[0], 0)
            costs = sorted(read(file), key=lambda cost: cost.own_s, reverse=True)
            console.print(_table(f"{name}, {carried} calls carried, all of it in {file}", costs, max(1, carried)))


def read(file: Path) -> Iterator[Cost]:
    """The functions in a profile."""
    if file.suffix == ".json":
        counts = json.loads(file.read_text())
        sample_s = counts["cpu_s"] / max(1, counts["samples"])
        for function, total in counts["total"].items():
            yield Cost(short(function), counts["own"].get(function, 0) * sample_s, total * sample_s)
        return
    entries: dict[tuple[str, int, str], Any] = pstats.Stats(str(file)).stats  # type: ignore[attr-defined]
    for (path, line, name), (_, times, own_s, total_s, _callers) in entries.items():
        yield Cost(short(f"{path}:{line} {name}") if line else name, own_s, total_s, times)


def short(function: str) -> str:
    """A function's place from the package directory's or the repository's root."""
    for marker in ("site-packages/", f"{ROOT}/", "/lib/python"):
        _, found, rest = function.rpartition(marker)
        if found:
            return rest
    return function


def _table(title: str, costs: list[Cost], carried: int) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    counted = any(cost.times is not None for cost in costs)
    for heading in ("own µs a call", "with callees", *(["times a call"] if counted else [])):
        table.add_column(heading, justify="right")
    table.add_column("function", overflow="fold")
    everything = [f"{sum(cost.own_s for cost in costs) / carried * 1e6:.1f}", ""]
    table.add_row(*everything, *([""] if counted else []), "all")
    for cost in costs[:TOP]:
        times = [f"{(cost.times or 0) / carried:.2f}"] if counted else []
        table.add_row(f"{cost.own_s / carried * 1e6:.1f}", f"{cost.total_s / carried * 1e6:.1f}", *times, cost.function)
    return table
