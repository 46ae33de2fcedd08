"""What the demo shows: a live table on a terminal, plain lines anywhere else."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from proxy.demo.load import ClassTally

REFRESH_S = 0.25
PLAIN_REFRESH_S = 2.0


def percent(part: int, whole: int) -> str:
    """A share as a whole number of percent, a dash of nothing. Never rounds up to 100."""
    return "–" if whole == 0 else f"{math.floor(100 * part / whole)} %"


def milliseconds(seconds: float) -> str:
    """Whole milliseconds, a dash for NaN."""
    return "–" if math.isnan(seconds) else f"{seconds * 1000:.0f} ms"


def mix(models: Counter[str]) -> str:
    """The models that answered and how often, in the order of their names without what they share."""
    return ", ".join(f"{model.removeprefix('llm-')} {count}" for model, count in sorted(models.items())) or "–"


def load_table(tallies: Mapping[str, ClassTally]) -> Table:
    """One row for each class."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("class")
    for heading in ("deadline", "sent", "answered", "failed", "on time", "p50", "p99"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("answered by")
    for name, tally in tallies.items():
        late = tally.answered - tally.on_time + tally.errors.total()
        table.add_row(
            name,
            f"{tally.load.deadline_s:g} s",
            str(tally.sent),
            str(tally.answered),
            str(tally.errors.total()),
            Text(percent(tally.on_time, tally.on_time + late), style="green" if late == 0 else "yellow"),
            milliseconds(tally.latency_s(0.5)),
            milliseconds(tally.latency_s(0.99)),
            mix(tally.models),
        )
    return table


def load_line(tallies: Mapping[str, ClassTally]) -> str:
    """All classes on one line, for output that can't be drawn over."""
    return "   ".join(
        f"{name}: {tally.on_time} of {tally.answered + tally.errors.total()} on time" for name, tally in tallies.items()
    )


async def show_while(work: Coroutine[Any, Any, None], tallies: Mapping[str, ClassTally], console: Console) -> None:
    """Show the tallies while `work` goes on, and how they ended."""
    if not console.is_terminal:
        await _alongside(work, PLAIN_REFRESH_S, lambda: console.print(load_line(tallies)))
        console.print(load_table(tallies))
        return
    with Live(load_table(tallies), console=console, auto_refresh=False) as live:
        await _alongside(work, REFRESH_S, lambda: live.update(load_table(tallies), refresh=True))
        live.update(load_table(tallies), refresh=True)


async def _alongside(work: Coroutine[Any, Any, None], period_s: float, show: Callable[[], None]) -> None:
    async def repeat() -> None:
        while True:
            await asyncio.sleep(period_s)
            show()

    async with asyncio.TaskGroup() as group:
        shown = group.create_task(repeat())
        await work
        shown.cancel()
