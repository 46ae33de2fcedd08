"""The pictures of `network`, as PNG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ops.bench.network.grid import cell_of
from ops.bench.network.metrics import is_on_time
from ops.bench.network.recorded import BIN_S
from ops.bench.network.run import outcomes_of
from ops.bench.network.scenario import NetworkScenario, RequestClass
from proxy.config.records import CONGESTION_CONTROLS

Entry = Mapping[str, Any]

# Okabe and Ito's palette, told apart by most colour-blind readers.
COLOURS = {
    "rr": "#999999",
    "fcfs": "#56b4e9",
    "edf": "#0072b2",
    "absolute": "#e69f00",
    "multilevel": "#cc79a7",
    "weighted": "#f0e442",
    "adaptive": "#009e73",
    None: "#d55e00",
}
CLASS_COLOURS = ("#d55e00", "#0072b2", "#999999", "#009e73", "#cc79a7", "#e69f00")
TIMELINE = ("rr", "edf", "adaptive", None)
DPI = 130


def draw(scenario: NetworkScenario, entries: Sequence[Entry], summary: Sequence[Entry], out: Path) -> list[Path]:
    """All pictures that the cells allow."""
    out.mkdir(parents=True, exist_ok=True)
    made: list[Path] = []
    if len({entry["load"] for entry in summary}) > 1:
        made.append(_save(on_time_by_load(scenario, summary), out / "on-time.png"))
    for load in dict.fromkeys(entry["load"] for entry in summary):
        some = [entry for entry in entries if entry["load"] == load]
        suffix = "" if load is None else f"-load-{load:g}"
        made.append(_save(latency_cdfs(scenario, some, load), out / f"latency{suffix}.png"))
        made.append(_save(timeline(scenario, some, load), out / f"timeline{suffix}.png"))
        if any(entry.get("wire") for entry in some):
            made.append(_save(wire(scenario, some, load), out / f"wire{suffix}.png"))
    return made


def _save(figure: Figure, file: Path) -> Path:
    figure.savefig(file, dpi=DPI)
    return file


def on_time_by_load(scenario: NetworkScenario, summary: Sequence[Entry]) -> Figure:
    """Weighted share on time against load: a panel for each congestion control, a line for each order."""
    controls = sorted({entry["congestion_control"] for entry in summary}, key=CONGESTION_CONTROLS.index)
    figure = Figure(figsize=(4.4 * len(controls) + 1.4, 4.2), layout="constrained")
    panels = figure.subplots(1, len(controls), sharey=True, squeeze=False)[0]
    shown: dict[str, Line2D] = {}
    for axes, control in zip(panels, controls, strict=True):
        own = [entry for entry in summary if entry["congestion_control"] == control]
        schedulers = list(dict.fromkeys(entry["scheduler"] for entry in own))
        apart = 0.012 * (max(entry["load"] for entry in own) - min(entry["load"] for entry in own))
        for number, scheduler in enumerate(schedulers):
            some = [entry for entry in own if entry["scheduler"] == scheduler]
            # Beside one another: several orders have everything on time.
            loads = [entry["load"] + apart * (number - (len(schedulers) - 1) / 2) for entry in some]
            means = [entry["mean"]["weighted_on_time"] * 100 for entry in some]
            half = [(entry["ci95"]["weighted_on_time"] or 0.0) * 100 for entry in some]
            axes.errorbar(loads, means, half, capsize=2, marker=".", elinewidth=0.8, **_line(scheduler))
            shown[_label(scheduler)] = Line2D([], [], marker=".", **_line(scheduler))
        axes.set_title(control)
        axes.set_xlabel("load (offered bits one way / link rate)")
        axes.set_ylim(0, 105)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("on time, weighted (%)")
    seeds = max(entry["seeds"] for entry in summary)
    line_end = "\n" if len(controls) == 1 else " "  # one panel is narrower than the title
    figure.suptitle(f"{scenario.name}: on time by load,{line_end}mean of {seeds} seeds and 95 % interval")
    figure.legend(list(shown.values()), list(shown), loc="outside right center")
    return figure


def latency_cdfs(scenario: NetworkScenario, entries: Sequence[Entry], load: float | None) -> Figure:
    """Latency: a column for each class, a row for each congestion control, a line for each order, all seeds."""
    controls = list(dict.fromkeys(entry["congestion_control"] for entry in _in_order(entries)))
    classes = list(scenario.classes.values())
    figure = Figure(figsize=(4.0 * len(classes) + 1.4, 2.6 * len(controls) + 0.9), layout="constrained")
    panels = figure.subplots(len(controls), len(classes), sharex="col", sharey=True, squeeze=False)
    shown: dict[str, Line2D] = {}
    for control, line in zip(controls, panels, strict=True):
        own = [entry for entry in entries if entry["congestion_control"] == control]
        for axes, kind in zip(line, classes, strict=True):
            for scheduler in COLOURS:
                some = [entry for entry in own if entry["scheduler"] == scheduler]
                if some and _cdf(axes, some, kind, **_line(scheduler)):
                    shown[_label(scheduler)] = Line2D([], [], **_line(scheduler))
            axes.axvline(kind.deadline_s, color="black", linewidth=0.8, linestyle=":")
            axes.set_xscale("log")
            axes.set_ylim(0, 1.02)
            axes.grid(alpha=0.3)
        line[0].set_ylabel(f"{control}\nshare answered within")
    for axes, kind in zip(panels[0], classes, strict=True):
        axes.set_title(f"{kind.name} ({kind.size_bytes / 1024:g} KiB, {kind.deadline_s:g} s)")
    for axes in panels[-1]:
        axes.set_xlabel("latency (s)")
    figure.suptitle(f"{scenario.name}: latency{_at(load)}; dotted: the deadline")
    figure.legend(list(shown.values()), list(shown), loc="outside right center")
    return figure


def _cdf(axes: Axes, entries: Sequence[Entry], kind: RequestClass, **style: Any) -> bool:
    outcomes = [item for entry in entries for item in outcomes_of(entry) if item.traffic_class == kind.name]
    latencies = sorted(item.latency_s for item in outcomes if item.latency_s is not None)
    if not latencies:
        return False
    shares = [number / len(outcomes) for number in range(1, len(latencies) + 1)]
    axes.step(latencies, shares, where="post", **style)
    return True


def timeline(scenario: NetworkScenario, entries: Sequence[Entry], load: float | None) -> Figure:
    """One run of each of a few rows, same arrivals: a bar for each request, coloured by class.

    It goes from the arrival over the moment that the backend had the request to the answer.
    """
    chosen = _timeline_cells(entries)
    figure = Figure(figsize=(3.6 * max(len(chosen), 2) + 0.6, 5.6), layout="constrained")
    panels = figure.subplots(1, len(chosen), sharey=True, sharex=True, squeeze=False)[0]
    colours = dict(zip(scenario.classes, CLASS_COLOURS * len(scenario.classes), strict=False))
    for axes, entry in zip(panels, chosen, strict=True):
        outcomes = sorted(outcomes_of(entry), key=lambda item: (item.arrival_s, item.number))
        on_time = 0
        for height, item in enumerate(outcomes):
            colour = colours[item.traffic_class]
            end_s = item.done_s if item.done_s is not None else scenario.give_up_s
            served_s = item.served_s if item.served_s is not None else end_s
            axes.barh(height, served_s - item.arrival_s, left=item.arrival_s, color=colour, alpha=0.35, height=0.9)
            axes.barh(height, end_s - served_s, left=served_s, color=colour, height=0.9)
            if is_on_time(item, scenario.classes):
                on_time += 1
            else:
                axes.plot(end_s, height, marker="x", markersize=4, color="black", linestyle="none")
        axes.set_title(f"{cell_of(entry).row}: {on_time} of {len(outcomes)} on time", fontsize=10)
        axes.set_xlabel("time (s)")
        axes.grid(axis="x", alpha=0.3)
    panels[0].set_ylabel("requests, by arrival")
    panels[0].invert_yaxis()
    figure.suptitle(f"{scenario.name}{_at(load)}, seed {chosen[0]['seed']}: where each request was")
    handles: list[Any] = [
        Patch(color=colours[kind.name], label=f"{kind.name} ({kind.deadline_s:g} s)")
        for kind in scenario.classes.values()
    ]
    handles += [
        Patch(color="black", alpha=0.35, label="waiting and going up"),
        Patch(color="black", label="answer waiting and coming down"),
        Line2D([], [], marker="x", color="black", linestyle="none", label="late"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def wire(scenario: NetworkScenario, entries: Sequence[Entry], load: float | None) -> Figure:
    """Which class was on the wire: what proxy and daemon let out, stacked by class, both directions of some rows."""
    chosen = [entry for entry in _timeline_cells(entries) if entry.get("wire")]
    figure = Figure(figsize=(3.6 * max(len(chosen), 2) + 0.6, 4.6), layout="constrained")
    panels = figure.subplots(2, len(chosen), sharey=True, sharex=True, squeeze=False)
    colours = dict(zip(scenario.classes, CLASS_COLOURS * len(scenario.classes), strict=False))
    for entry, column in zip(chosen, panels.T, strict=True):
        column[0].set_title(str(cell_of(entry).row), fontsize=10)
        for axes, way in zip(column, ("up", "down"), strict=True):
            series = entry["wire"].get(way, {})
            length = max((len(values) for values in series.values()), default=0)
            below = [0.0] * length
            for name, values in series.items():
                rates = [value * 8 / BIN_S / 1e6 for value in values]
                times = [number * BIN_S for number in range(len(rates))]
                axes.bar(times, rates, BIN_S, bottom=below, align="edge", color=colours[name], linewidth=0)
                below = [low + rate for low, rate in zip(below, rates, strict=True)]
            if math.isfinite(scenario.link.rate_bits_s):
                axes.axhline(scenario.link.rate_bits_s / 1e6, color="black", linewidth=0.8, linestyle=":")
            axes.grid(alpha=0.3)
        column[-1].set_xlabel("time (s)")
    for axes, way in zip(panels[:, 0], ("requests", "answers"), strict=True):
        axes.set_ylabel(f"{way} (Mbit/s)")
    figure.suptitle(f"{scenario.name}{_at(load)}, seed {chosen[0]['seed']}: which class was sent; dotted: the link")
    handles = [Patch(color=colours[name], label=name) for name in scenario.classes]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _timeline_cells(entries: Sequence[Entry]) -> list[Entry]:
    """Of the first seed: rr, edf, adaptive and tcp, where they are there, else the first rows.

    Each with the last congestion control that it has, which is bbr where it was measured.
    """
    seed = min(entry["seed"] for entry in entries)
    by_scheduler: dict[str | None, Entry] = {
        entry["scheduler"]: entry for entry in _in_order(entries) if entry["seed"] == seed
    }
    found = [by_scheduler[name] for name in TIMELINE if name in by_scheduler]
    return found or list(by_scheduler.values())[:4]


def _in_order(entries: Sequence[Entry]) -> list[Entry]:
    def order(entry: Entry) -> tuple[bool, int]:
        row = cell_of(entry).row
        return row.transport == "tcp", CONGESTION_CONTROLS.index(row.congestion_control)

    return sorted(entries, key=order)


def _label(scheduler: str | None) -> str:
    return scheduler or "TLS/TCP"


def _line(scheduler: str | None) -> dict[str, Any]:
    return {
        "color": COLOURS.get(scheduler, "black"),
        "linestyle": "--" if scheduler is None else "-",
        "linewidth": 1.6 if scheduler in (None, "edf", "adaptive") else 1.1,
    }


def _at(load: float | None) -> str:
    return "" if load is None else f" at load {load:g}"
