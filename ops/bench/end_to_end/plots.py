"""The pictures of `end_to_end` that compare cells, as PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ops.bench.end_to_end.grid import column_of
from ops.bench.end_to_end.scenario import EndToEndScenario
from ops.bench.end_to_end.stations import outcomes_of
from ops.bench.end_to_end.tables import heading
from ops.bench.end_to_end.verdict import CLOSE, DYNAMIC
from ops.bench.network.grid import Row
from ops.bench.network.plots import COLOURS, DPI

Entry = Mapping[str, Any]

SHOWN_ORDERS = ("rr", "edf", "adaptive", None)
"""Of the first-token latencies."""


def draw(scenario: EndToEndScenario, entries: Sequence[Entry], summary: Sequence[Entry], out: Path) -> list[Path]:
    """All pictures that the cells allow."""
    out.mkdir(parents=True, exist_ok=True)
    controls = dict.fromkeys(entry["congestion_control"] for entry in summary if entry["transport"] == "quic")
    made = [save(scores(scenario, summary, control), out / f"scores-{control}.png") for control in controls]
    if any(entry["mean"].get("simulated") for entry in summary):
        made.append(save(simulator(scenario, summary), out / "simulator.png"))
    if any(entry["policy"] == DYNAMIC for entry in entries):
        made.append(save(first_tokens(scenario, entries), out / "first-token.png"))
    return made


def save(figure: Figure, file: Path) -> Path:
    """Write it."""
    figure.savefig(file, dpi=DPI)
    return file


def scores(scenario: EndToEndScenario, summary: Sequence[Entry], control: str) -> Figure:
    """The tables as bars: a panel for each workload, a group for each policy, a bar for each column.

    A dash across a bar is the simulator's score.
    """
    own = [entry for entry in summary if entry["transport"] == "tcp" or entry["congestion_control"] == control]
    workloads = list(dict.fromkeys(entry["workload"] for entry in own))
    columns = [column for column in scenario.columns if any(column_of(entry) == column for entry in own)]
    figure = Figure(figsize=(10.5, 3.0 * len(workloads) + 0.9), layout="constrained")
    panels = figure.subplots(len(workloads), 1, sharey=True, squeeze=False)[:, 0]
    for axes, workload in zip(panels, workloads, strict=True):
        some = [entry for entry in own if entry["workload"] == workload]
        _bars(axes, some, columns)
        axes.set_title(workload, loc="left", fontsize=10)
    seeds = max(entry["seeds"] for entry in own)
    figure.suptitle(
        f"{scenario.name}, QUIC with {control}: score, mean of {seeds} seed{'s' if seeds > 1 else ''}"
        + (" and 95 % interval" if seeds > 1 else "")
    )
    handles: list[Any] = [Patch(color=COLOURS[column.scheduler], label=heading(column)) for column in columns]
    if any(entry["mean"].get("simulated") for entry in own):
        handles.append(Line2D([], [], color="black", linewidth=1.2, label="simulator"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _bars(axes: Axes, entries: Sequence[Entry], columns: Sequence[Row]) -> None:
    policies = list(dict.fromkeys(entry["policy"] for entry in entries))
    width = 0.8 / len(columns)
    for entry in entries:
        place = columns.index(column_of(entry))
        left = policies.index(entry["policy"]) - 0.4 + place * width
        half = entry["ci95"]["score"]
        axes.bar(
            left + width / 2,
            entry["mean"]["score"],
            width * 0.92,
            color=COLOURS[entry["scheduler"]],
            yerr=half,
            error_kw={"elinewidth": 0.8, "capsize": 2},
        )
        if (simulated := entry["mean"].get("simulated")) is not None:
            axes.hlines(simulated["score"], left, left + width, color="black", linewidth=1.2)
    axes.set_xticks(range(len(policies)), policies)
    axes.set_ylabel("score")
    axes.set_ylim(0, 1)
    axes.grid(axis="y", alpha=0.3)


def simulator(scenario: EndToEndScenario, summary: Sequence[Entry]) -> Figure:
    """Simulated against real score: a point for each cell, means of the seeds; the band is 5 points wide each way."""
    workloads = list(dict.fromkeys(entry["workload"] for entry in summary))
    figure = Figure(figsize=(4.6 * len(workloads) + 1.6, 4.8), layout="constrained")
    panels = figure.subplots(1, len(workloads), sharey=True, squeeze=False)[0]
    policies = list(dict.fromkeys(entry["policy"] for entry in summary))
    markers = dict(zip(policies, "osD*^vPX<>" * len(policies), strict=False))
    controls = list(dict.fromkeys(entry["congestion_control"] for entry in summary if entry["transport"] == "quic"))
    for axes, workload in zip(panels, workloads, strict=True):
        axes.plot([0, 1], [0, 1], color="black", linewidth=0.8)
        axes.fill_between([0, 1], [-CLOSE, 1 - CLOSE], [CLOSE, 1 + CLOSE], color="black", alpha=0.08, linewidth=0)
        for entry in summary:
            if entry["workload"] != workload or not entry["mean"].get("simulated"):
                continue
            first = entry["transport"] == "tcp" or entry["congestion_control"] == controls[0]
            axes.plot(
                entry["mean"]["score"],
                entry["mean"]["simulated"]["score"],
                marker=markers[entry["policy"]],
                color=COLOURS[entry["scheduler"]],
                fillstyle="full" if first else "none",
                linestyle="none",
            )
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="real stack", title=workload)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("simulator")
    columns = dict.fromkeys(column_of(entry).scheduler for entry in summary)
    handles: list[Any] = [Patch(color=COLOURS[name], label=name or "TLS/TCP") for name in columns]
    handles += [
        Line2D([], [], marker=marker, color="black", linestyle="none", label=name) for name, marker in markers.items()
    ]
    if len(controls) > 1:
        handles.append(
            Line2D([], [], marker="o", color="black", fillstyle="none", linestyle="none", label=f"QUIC, {controls[1]}")
        )
    figure.suptitle(f"{scenario.name}: score in the simulator against the real stack")
    figure.legend(handles=handles, loc="outside right center", fontsize=8)
    return figure


def first_tokens(scenario: EndToEndScenario, entries: Sequence[Entry]) -> Figure:
    """Latency of the first token with the trained policy: a column a class, a row a workload, a line an order.

    Of each column with the first congestion control that it has in the scenario.
    """
    columns: dict[str | None, Row] = {}
    for column in scenario.columns:
        if column.scheduler in SHOWN_ORDERS:
            columns.setdefault(column.scheduler, column)
    own = [entry for entry in entries if entry["policy"] == DYNAMIC]
    workloads = list(dict.fromkeys(entry["workload"] for entry in own))
    kinds = list(scenario.classes.values())
    figure = Figure(figsize=(3.8 * len(kinds) + 1.4, 2.6 * len(workloads) + 0.8), layout="constrained")
    panels = figure.subplots(len(workloads), len(kinds), sharex=True, sharey=True, squeeze=False)
    shown: dict[str, Line2D] = {}
    for workload, line in zip(workloads, panels, strict=True):
        for kind, axes in zip(kinds, line, strict=True):
            for column in columns.values():
                outcomes = [
                    outcome
                    for entry in own
                    if entry["workload"] == workload and column_of(entry) == column
                    for outcome in outcomes_of(entry)
                    if outcome.traffic_class == kind.name
                ]
                latencies = sorted(one.first_latency_s for one in outcomes if one.first_latency_s is not None)
                if latencies:
                    style: dict[str, Any] = {
                        "color": COLOURS[column.scheduler],
                        "linestyle": "--" if column.transport == "tcp" else "-",
                    }
                    shares = [number / len(outcomes) for number in range(1, len(latencies) + 1)]
                    axes.step(latencies, shares, where="post", **style)
                    shown[heading(column)] = Line2D([], [], **style)
            axes.axvline(kind.deadline_s, color="black", linewidth=0.8, linestyle=":")
            axes.set_xscale("log")
            axes.set_ylim(0, 1.02)
            axes.grid(alpha=0.3)
        line[0].set_ylabel(f"{workload}\nshare with a token within")
    for kind, axes in zip(kinds, panels[0], strict=True):
        axes.set_title(f"{kind.name} ({kind.deadline_s:g} s)")
    for axes in panels[-1]:
        axes.set_xlabel("first token after (s)")
    figure.suptitle(f"{scenario.name}, policy {DYNAMIC}: latency of the first token; dotted: the deadline")
    figure.legend(list(shown.values()), list(shown), loc="outside right center")
    return figure
