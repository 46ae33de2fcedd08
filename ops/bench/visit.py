"""Running the cells of an experiment, some at a time, and keeping what they bring."""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class _Cell(Hashable, Protocol):
    def as_json(self) -> dict[str, Any]: ...


C = TypeVar("C", bound=_Cell)

TRIES = 2
"""How often a cell is tried before it counts as failed."""


class CellError(Exception):
    """The cell could not be run to its end. The text says why."""


@dataclass(slots=True)
class Visit(Generic[C]):
    """Runs cells, and hands what each brings to `keep` (such as `Journal.add`), with `commit` and how many `tries`."""

    keep: Callable[..., None]
    console: Console
    commit: str | None = None
    failed: dict[C, str] = field(default_factory=dict)
    """With what the last try said."""

    async def all(self, todo: Sequence[C], run_cell: Callable[[C], Awaitable[Any]], *, jobs: int = 1) -> None:
        """Run every cell of `todo`, `jobs` at a time; those that raise `CellError` twice stand in `failed`."""
        waiting = list(reversed(todo))
        columns = (
            *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()),
            *(TextColumn("left:"), TimeRemainingColumn()),
        )
        # A cell may take longer than the 30 s that rich looks back to estimate what is left.
        with Progress(*columns, console=self.console, transient=True, speed_estimate_period=math.inf) as progress:
            bar = progress.add_task("", total=len(todo))

            async def worker() -> None:
                while waiting:
                    cell = waiting.pop()
                    progress.update(bar, description=str(cell))
                    await self._one(cell, run_cell)
                    progress.advance(bar)
                    self._tell(cell, progress.tasks[bar])

            async with asyncio.TaskGroup() as group:
                for number in range(jobs):
                    group.create_task(worker(), name=f"cells {number}")

    def _tell(self, cell: C, task: Task) -> None:
        """A line for each cell, where there is no terminal to draw a bar on."""
        if self.console.is_terminal:
            return
        left_s = task.time_remaining
        left = "" if left_s is None else f", left: {timedelta(seconds=round(left_s))}"
        self.console.print(f"{task.completed:.0f} of {task.total:.0f}{left}: {cell}", highlight=False, markup=False)

    def tell_failed(self) -> list[dict[str, Any]]:
        """Print the cells that failed; what a report notes of them."""
        for cell, reason in self.failed.items():
            self.console.print(f"failed twice: {cell}: {reason}", highlight=False, markup=False, style="red")
        return [{**cell.as_json(), "reason": reason} for cell, reason in self.failed.items()]

    async def _one(self, cell: C, run_cell: Callable[[C], Awaitable[Any]]) -> None:
        for number in range(TRIES):
            try:
                brought = await run_cell(cell)
            except CellError as error:
                self.failed[cell] = str(error)
                continue
            self.failed.pop(cell, None)
            self.keep(cell, brought, commit=self.commit, tries=number + 1)
            return


@contextlib.contextmanager
def interruptible(wanted: Sequence[C], is_kept: Callable[[C], bool], console: Console) -> Iterator[None]:
    """Where what is within is cancelled, print how many of the cells are kept."""
    try:
        yield
    except asyncio.CancelledError:
        kept = sum(map(is_kept, wanted))
        console.print(f"{kept} of {len(wanted)} cells are kept; the same command goes on from there", highlight=False)
        raise


@contextlib.contextmanager
def own_directory(cell: object, *, within: Path, out: Path, leave_out: Sequence[str] = ()) -> Iterator[Path]:
    """A directory for one cell. Where the cell fails, it is kept below `out`, without tokens and `leave_out`."""
    own = Path(tempfile.mkdtemp(prefix="cell-", dir=within))
    try:
        yield own
    except CellError as error:
        (own / "reason").write_text(f"{error}\n")
        logs = out / "failed" / re.sub(r"[ ,:/]+", "-", str(cell))
        shutil.copytree(own, logs, dirs_exist_ok=True, ignore=shutil.ignore_patterns("token", *leave_out))
        raise
    finally:
        shutil.rmtree(own)
