"""All of it on one page of a width and, on a terminal, a height. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from proxy.control.figures import span
from proxy.top.ends import RATE_WINDOW_S, End
from proxy.top.panes import Pane, pane
from proxy.top.table import Table

SILENT_INTERVALS = 3.0
"""A process has missed so many looks before it is said to be silent; its event loop may be busy for one."""

LEGEND = (
    f"calls/s, the first on time, share, accuracy, lost: last {span(RATE_WINDOW_S)}; p50, p99: last 30 s; "
    "the others: now, or since the start"
)
KEYS = "q quits"


def screen(ends: Sequence[End], *, width: int, height: int | None, now: float, interval_s: float) -> list[Text]:
    """The lines, each at most `width` cells wide, and with a `height` exactly so many of them, the last for the keys.

    `interval_s` is from one look to the next. What does not fit is cut from the longest tables first.
    """
    panes = [pane(end, now=now, silent_s=SILENT_INTERVALS * max(interval_s, 1.0)) for end in ends]
    if height is None:
        lines = _lines(panes, width, apart=True)
        return [*lines, Text(), _cropped(Text(LEGEND, "dim"), width)]
    room = max(height - 1, 0)
    lines = _fitted(panes, width, room)
    if len(lines) > room:
        more = _cropped(Text("… more in a taller window", "dim"), width)
        lines = [*lines[: max(room - 1, 0)], more][:room]
    lines += [Text()] * (room - len(lines))
    foot = Text(f"{KEYS}   {LEGEND}", "dim")
    return [*lines, _cropped(foot, width)][: max(height, 0)]


def _fitted(panes: Sequence[Pane], width: int, room: int) -> list[Text]:
    """With blank lines between the processes if they fit, else without, else with fewer rows in the longest tables."""
    lines = _lines(panes, width, apart=True)
    if len(lines) > room:
        lines = _lines(panes, width, apart=False)
    most = max((len(item.rows) for one in panes for item in one.items if isinstance(item, Table)), default=0)
    while len(lines) > room and most > 1:
        most -= 1
        lines = _lines(panes, width, apart=False, rows=most)
    return lines


def _lines(panes: Sequence[Pane], width: int, *, apart: bool, rows: int | None = None) -> list[Text]:
    lines: list[Text] = []
    for one in panes:
        if lines and apart:
            lines.append(Text())
        lines.append(_cropped(one.heading, width))
        for item in one.items:
            if not isinstance(item, Table):
                lines.append(_cropped(item, width))
            elif rows is None:
                lines += item.lines(width)
            else:
                lines += item.cut(rows).lines(width)
    return lines


def _cropped(line: Text, width: int) -> Text:
    line = line.copy()
    line.no_wrap = True
    line.truncate(width, overflow="ellipsis")
    return line
