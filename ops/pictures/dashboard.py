"""The panels of a Grafana dashboard, drawn from scrapes: titles, expressions, units and places are the dashboard's."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from ops.deploy.metrics_used import DASHBOARD
from ops.pictures.promql import Query
from ops.pictures.scrapes import NAME, Labels, Scrapes

RATE_INTERVAL_S = 10
"""What `$__rate_interval` stands for: four scrapes of 2 s, and one more, as Grafana takes it."""
STEP_S = 2.0
GRID_COLUMNS = 24
INCHES_A_COLUMN, INCHES_A_ROW = 0.72, 0.42
BACK, PANE, INK, FAINT = "#111217", "#181b1f", "#d8d9da", "#44474d"
COLOURS = ("#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#b877d9", "#5794f2", "#96d98d", "#fade2a", "#c4162a")
GOOD, BAD = "#37872d", "#c4162a"
LEGEND_LINES = 4
"""Longer legends leave no room for the lines."""
LEGEND_LINE_INCHES = 0.125


def draw(scrapes: Scrapes, file: Path, *, rows: Sequence[str], dashboard: Path = DASHBOARD) -> None:
    """Write a picture of these rows of the dashboard. Raises ValueError for a row that it does not have."""
    sections = dict(_sections(json.loads(dashboard.read_text(encoding="utf-8"))["panels"]))
    if unknown := [row for row in rows if row not in sections]:
        raise ValueError(f"the dashboard has no row {', '.join(unknown)}; it has {', '.join(sections)}")
    heights = {row: 1 + max(_bottom(panel) for panel in sections[row]) - _top(sections[row]) for row in rows}
    total = sum(heights.values())
    figure = plt.figure(figsize=(GRID_COLUMNS * INCHES_A_COLUMN, total * INCHES_A_ROW), facecolor=BACK)
    above = 0
    for row in rows:
        figure.text(0.004, 1 - (above + 0.7) / total, row, color=INK, fontsize=13, fontweight="bold")
        for panel in sections[row]:
            place = panel["gridPos"]
            y = above + 1 + place["y"] - _top(sections[row])
            _panel(figure, panel, scrapes, (place["x"], y, place["w"], place["h"]), total)
        above += heights[row]
    figure.savefig(file, dpi=100, facecolor=BACK)
    plt.close(figure)


def _sections(panels: Sequence[dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The rows by their titles, and the panels that follow each."""
    starts = [number for number, panel in enumerate(panels) if panel["type"] == "row"]
    for start, end in zip(starts, [*starts[1:], len(panels)], strict=True):
        yield panels[start]["title"], list(panels[start + 1 : end])


def _top(panels: Sequence[dict[str, Any]]) -> int:
    return min(int(panel["gridPos"]["y"]) for panel in panels)


def _bottom(panel: dict[str, Any]) -> int:
    return int(panel["gridPos"]["y"] + panel["gridPos"]["h"])


def _panel(
    figure: Figure, panel: dict[str, Any], scrapes: Scrapes, place: tuple[int, int, int, int], total: int
) -> None:
    x, y, width, height = place
    pad_x, pad_y = 0.06 / GRID_COLUMNS, 0.08 / total
    box = (x / GRID_COLUMNS + pad_x, 1 - (y + height) / total + pad_y, width / GRID_COLUMNS - 2 * pad_x)
    figure.add_axes((*box, height / total - 2 * pad_y), facecolor=PANE, xticks=[], yticks=[])
    figure.text(box[0] + 0.004, 1 - (y + 0.6) / total, panel["title"], color=INK, fontsize=9, fontweight="bold")
    left, below = 0.055, 0.45 / total
    inner = (box[0] + left, box[1] + 1.0 / total, box[2] - left - 0.006, (height - 2.1) / total - below * 0.2)
    unit = panel["fieldConfig"]["defaults"].get("unit")
    if panel["type"] == "stat":
        answer = Query(_expanded(panel["targets"][0]["expr"], scrapes), scrapes, scrapes.times[-1]).value()
        text = shown(next(iter(answer.values()), math.nan), unit, panel["fieldConfig"]["defaults"].get("decimals"))
        middle = (box[0] + box[2] / 2, box[1] + (height / 2 - 0.5) / total)
        figure.text(*middle, text, color=COLOURS[0], fontsize=24, ha="center", va="center")
        return
    axes = figure.add_axes(inner, facecolor=PANE)
    axes.tick_params(colors=INK, labelsize=7, length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.grid(color=FAINT, linewidth=0.4)
    began_at = scrapes.times[0]
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: f"{at - began_at:.0f} s"))
    axes.set_xlim(began_at, scrapes.times[-1])
    if panel["type"] == "state-timeline":
        _states(axes, panel, scrapes)
    else:
        _lines(axes, panel, scrapes)


def _lines(axes: Axes, panel: dict[str, Any], scrapes: Scrapes) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value, defaults.get("unit"))))
    series = [one for one in _over_time(panel, scrapes) if any(math.isfinite(value) for value in one[2])]
    if defaults.get("custom", {}).get("stacking") and series:
        times = series[0][1]
        # A series that was all 0 has nothing to show in a stack.
        series = [one for one in series if any(value > 0 for value in one[2])] or series[:1]
        heights = [[0.0 if math.isnan(value) else value for value in one[2]] for one in series]
        axes.stackplot(times, heights, labels=[one[0] for one in series], colors=COLOURS, alpha=0.75)
    else:
        for number, (name, times, values) in enumerate(series):
            axes.plot(times, values, label=name, color=COLOURS[number % len(COLOURS)], linewidth=1.1)
    axes.set_ylim(bottom=defaults.get("min"), top=defaults.get("max"))
    if not series:
        axes.text(0.5, 0.5, "no data", transform=axes.transAxes, color=INK, ha="center", fontsize=8)
    else:
        columns = max(1, min(len(series), round(panel["gridPos"]["w"] / 3)))
        shown_ = series[: columns * LEGEND_LINES]
        handles, labels = axes.get_legend_handles_labels()
        figure_inches = axes.figure.bbox.height / axes.figure.dpi
        room = -(-len(shown_) // columns) * LEGEND_LINE_INCHES / figure_inches
        place = axes.get_position()
        axes.set_position((place.x0, place.y0 + room, place.width, place.height - room))
        axes.legend(
            handles[: len(shown_)],
            labels[: len(shown_)],
            fontsize=6,
            labelcolor=INK,
            ncols=columns,
            loc="upper left",
            bbox_to_anchor=(-0.02, -0.1),
            frameon=False,
        )


def _states(axes: Axes, panel: dict[str, Any], scrapes: Scrapes) -> None:
    series = list(_over_time(panel, scrapes))
    for number, (_, times, values) in enumerate(series):
        for at, value in zip(times, values, strict=True):
            if math.isfinite(value):
                axes.barh(number, STEP_S, left=at, height=0.8, color=GOOD if value else BAD)
    axes.set_yticks(range(len(series)), [name for name, _, _ in series])
    axes.set_ylim(len(series) - 0.5, -0.5)
    axes.tick_params(axis="y", labelsize=6, pad=-4)
    for label in axes.get_yticklabels():
        label.set_horizontalalignment("left")
    axes.grid(visible=False)


def _over_time(panel: dict[str, Any], scrapes: Scrapes) -> Iterator[tuple[str, list[float], list[float]]]:
    """Legend, times and values of each series of a panel, in the order of the legend."""
    first, last = scrapes.times[0], scrapes.times[-1]
    times = [first + number * STEP_S for number in range(int((last - first) / STEP_S) + 1)]
    for target in panel["targets"]:
        expression = _expanded(target["expr"], scrapes)
        answers = [Query(expression, scrapes, at).value() for at in times]
        found = {labels: _legend(target["legendFormat"], labels) for answer in answers for labels in answer}
        for labels, name in sorted(found.items(), key=lambda item: item[1]):
            yield name, times, [answer.get(labels, math.nan) for answer in answers]


def _expanded(expression: str, scrapes: Scrapes) -> str:
    """With Grafana's variables filled in: all classes, the whole time shown."""
    span_s = math.ceil(scrapes.times[-1] - scrapes.times[0]) + 1
    for variable, text in (("$__rate_interval", f"{RATE_INTERVAL_S}s"), ("$__range", f"{span_s}s"), ("$class", ".*")):
        expression = expression.replace(variable, text)
    return expression


def _legend(form: str, labels: Labels) -> str:
    known = dict(labels)
    text = re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: known.get(found[1], ""), form)
    return text or known.get(NAME, "")


def shown(value: float, unit: str | None, decimals: int | None = None) -> str:
    """A number with its unit, as Grafana writes it."""
    if not math.isfinite(value):
        return "–"
    if unit == "percentunit":
        return f"{100 * value:.{decimals or 0}f} %"
    if unit == "s" and value and abs(value) < 1:
        return f"{1e3 * value:.3g} ms" if abs(value) >= 1e-3 else f"{1e6 * value:.3g} µs"
    suffix = {"s": " s", "Bps": "B/s", "bytes": "B", "d": " d", "µs": " µs", "reqps": "/s", "ops": "/s", "pps": "/s"}
    scale, prefix = next(
        ((scale, prefix) for scale, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if abs(value) >= scale), (1.0, "")
    )
    number = f"{value / scale:.{decimals}f}" if decimals is not None else f"{value / scale:.3g}"
    name = suffix.get(unit or "", "")
    return f"{number} {prefix}{name}" if unit in {"Bps", "bytes"} else f"{number}{prefix}{name}"
