"""The picture of a link that changes: what it carries, what slack the policy saw, what it chose, what was on time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ops.bench.end_to_end.grid import cell_of
from ops.bench.end_to_end.plots import save
from ops.bench.end_to_end.requests import TokenOutcome, draw_requests
from ops.bench.end_to_end.scenario import EndToEndScenario
from ops.bench.end_to_end.stations import outcomes_of
from ops.bench.end_to_end.transit import settings_at

Entry = Mapping[str, Any]

BIN_S = 2.0
LEAST_SLACK_S = -1.0
"""Where the axis ends: what is later than that is late in any case."""
MODEL_COLOURS = ("#0072b2", "#56b4e9", "#e69f00", "#009e73", "#cc79a7")
MODE_COLOURS = {"edf": "#56b4e9", "pruning": "#d55e00", "fair": "#999999"}
UNANSWERED = "#d0d0d0"


def draw(scenario: EndToEndScenario, entries: Sequence[Entry], out: Path) -> list[Path]:
    """One picture for each workload, policy and column whose cells have recordings; its seeds are put together."""
    recorded: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.get("decisions"):
            cell = cell_of(entry)
            recorded.setdefault(f"{cell.workload}-{cell.policy}-{cell.column}", []).append(entry)
    return [
        save(timeline(scenario, own), out / f"timeline-{name.replace('/', '-').replace(':', '-')}.png")
        for name, own in recorded.items()
    ]


def binned(times: Sequence[float], seconds: float) -> list[list[int]]:
    """Places of the times in each bin of `BIN_S`, up to `seconds`."""
    bins: list[list[int]] = [[] for _ in range(max(1, round(seconds / BIN_S)))]
    for place, at in enumerate(times):
        number = int(at / BIN_S)
        if 0 <= number < len(bins):
            bins[number].append(place)
    return bins


def spells(samples: Sequence[Mapping[str, Any]], seconds: float) -> list[tuple[str, float, float]]:
    """Mode, beginning and end of each time that the scheduler stayed in a mode, up to `seconds`."""
    known = [(one["mode"], one["at"]) for one in samples if one["mode"] is not None]
    changes = [known[place] for place in range(len(known)) if not place or known[place][0] != known[place - 1][0]]
    ends = [*(at for _, at in changes), seconds][1:]
    return [(mode, at, end) for (mode, at), end in zip(changes, ends, strict=True)]


def timeline(scenario: EndToEndScenario, entries: Sequence[Entry]) -> Figure:
    """Five panels over one time axis, all seeds together."""
    cell = cell_of(entries[0])
    workload = scenario.workloads[cell.workload]
    models = [candidate.model for candidate in workload.candidates]
    outcomes = [one for entry in entries for one in outcomes_of(entry)]
    figure = Figure(figsize=(10.5, 10.0), layout="constrained")
    panels = figure.subplots(5, 1, sharex=True, height_ratios=(1.0, 1.3, 1.3, 0.35, 1.2))
    sizes = [one.size_bytes for entry in entries for one in draw_requests(workload, entry["seed"])]
    _link(panels[0], scenario, outcomes, sizes, seconds=workload.seconds, seeds=len(entries))
    _slack(panels[1], [one for entry in entries for one in entry["decisions"]], workload.seconds)
    _mix(panels[2], outcomes, models, workload.seconds)
    _modes(panels[3], entries, workload.seconds)
    _on_time(panels[4], scenario, outcomes, workload.seconds)
    for axes in panels:
        for change in scenario.link.changes:
            axes.axvline(change.at_s, color="black", linewidth=0.7, linestyle=":")
        axes.grid(axis="x", alpha=0.3)
    panels[-1].set_xlabel("time (s), by when a request was sent")
    panels[-1].set_xlim(0, workload.seconds)
    seeds = f"{len(entries)} seed{'s' if len(entries) > 1 else ''}"
    figure.suptitle(f"{scenario.name}: {cell.policy}, {cell.column}, {seeds}; dotted: the link changes")
    return figure


def _link(
    axes: Axes,
    scenario: EndToEndScenario,
    outcomes: Sequence[TokenOutcome],
    sizes: Sequence[int],
    *,
    seconds: float,
    seeds: int,
) -> None:
    times = [number * 0.1 for number in range(round(seconds * 10))]
    rates = [settings_at(scenario.link, at).rate_bits_s / 1e6 for at in times]
    axes.step(times, rates, where="post", color="black", label="link")
    offered = [
        sum(sizes[place] for place in own) * 8 / 1e6 / BIN_S / seeds
        for own in binned([one.arrival_s for one in outcomes], seconds)
    ]
    axes.stairs(offered, [number * BIN_S for number in range(len(offered) + 1)], color="#d55e00", label="offered")
    for change in scenario.link.changes:
        axes.annotate(
            _words(change.values), (change.at_s, max(rates)), xytext=(2, 2), textcoords="offset points", fontsize=7
        )
    axes.set_ylim(0, 1.2 * max(*rates, *offered))  # with room for the words
    axes.set_ylabel("Mbit/s")
    axes.legend(loc="lower left", fontsize=8)


def _slack(axes: Axes, decisions: Sequence[Mapping[str, Any]], seconds: float) -> None:
    known = [one for one in decisions if one["slack_s"] is not None]
    axes.plot(
        [one["at"] for one in known], [one["slack_s"] for one in known], ".", color="#0072b2", markersize=2, alpha=0.5
    )
    bins = binned([one["at"] for one in known], seconds)
    middles = [median(known[place]["slack_s"] for place in own) if own else None for own in bins]
    axes.plot(
        [(number + 0.5) * BIN_S for number, value in enumerate(middles) if value is not None],
        [value for value in middles if value is not None],
        color="black",
        label="median",
    )
    axes.axhline(0, color="black", linewidth=0.6)
    axes.set_ylim(LEAST_SLACK_S, None)
    axes.set_ylabel("slack that the\npolicy saw (s)")
    axes.legend(loc="lower left", fontsize=8)


def _mix(axes: Axes, outcomes: Sequence[TokenOutcome], models: Sequence[str], seconds: float) -> None:
    bins = binned([one.arrival_s for one in outcomes], seconds)
    below = [0.0] * len(bins)
    handles = []
    for name, colour in zip((*models, None), (*MODEL_COLOURS[: len(models)], UNANSWERED), strict=True):
        shares = [sum(outcomes[place].model == name for place in own) / len(own) if own else 0.0 for own in bins]
        axes.bar(
            [number * BIN_S for number in range(len(bins))],
            shares,
            BIN_S,
            bottom=below,
            align="edge",
            color=colour,
            linewidth=0,
        )
        below = [low + share for low, share in zip(below, shares, strict=True)]
        handles.append(Patch(color=colour, label=name or "no answer"))
    axes.set_ylim(0, 1)
    axes.set_ylabel("answered by")
    axes.legend(handles=handles, loc="lower left", fontsize=8, ncols=len(handles))


def _modes(axes: Axes, entries: Sequence[Entry], seconds: float) -> None:
    for row, entry in enumerate(entries):
        for mode, begin, end in spells(entry["samples"], seconds):
            axes.barh(row, end - begin, left=begin, color=MODE_COLOURS.get(mode, "#009e73"), height=0.9)
    axes.set_yticks([])
    axes.set_ylabel("mode", rotation=0, ha="right", va="center")
    handles = [Patch(color=colour, label=name) for name, colour in MODE_COLOURS.items()]
    axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)


def _on_time(axes: Axes, scenario: EndToEndScenario, outcomes: Sequence[TokenOutcome], seconds: float) -> None:
    handles = []
    for name, colour in zip(scenario.classes, ("#d55e00", "#0072b2", "#999999", "#009e73", "#cc79a7"), strict=False):
        own = [one for one in outcomes if one.traffic_class == name]
        bins = binned([one.arrival_s for one in own], seconds)
        points = [
            ((number + 0.5) * BIN_S, sum(own[place].on_time for place in there) / len(there))
            for number, there in enumerate(bins)
            if there
        ]
        axes.plot([at for at, _ in points], [share for _, share in points], color=colour, marker=".")
        handles.append(Line2D([], [], color=colour, marker=".", label=name))
    axes.set_ylim(-0.02, 1.02)
    axes.set_ylabel("share on time")
    axes.legend(handles=handles, loc="lower left", fontsize=8)


def _words(values: Mapping[str, float]) -> str:
    told = []
    for name, value in values.items():
        if name == "rate_bits_s":
            told.append(f"{value / 1e6:g} Mbit/s")
        elif name == "delay_s":
            told.append(f"{value * 1000:g} ms")
        elif name == "loss":
            told.append(f"{value:.1%} loss")
    return ", ".join(told)
