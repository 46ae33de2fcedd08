"""The pictures of `congestion`, as PNG."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from ops.bench.congestion.figures import WINDOW_S, jain_over_time
from ops.bench.congestion.grid import cell_of, link_of, towards
from ops.bench.congestion.scenario import CongestionScenario, Flow
from ops.bench.congestion.wire import STEP_S
from ops.link import LinkSettings

Entry = Mapping[str, Any]

# Okabe and Ito's palette, told apart by most colour-blind readers.
COLOURS = {"bbr": "#0072b2", "cubic": "#d55e00", "reno": "#009e73"}
OTHER = "#cc79a7"
LINES = {"quic": "-", "tcp": "--", "kernel": ":"}
DPI = 130
COLUMNS = 3
"""Panels side by side."""


def draw(scenario: CongestionScenario, entries: Sequence[Entry], summary: Sequence[Entry], out: Path) -> list[Path]:
    """All pictures that the cells allow."""
    out.mkdir(parents=True, exist_ok=True)
    made: list[Path] = []

    def save(figure: Figure, name: str) -> None:
        figure.savefig(out / name, dpi=DPI)
        made.append(out / name)

    goodput = [entry for entry in summary if entry["part"] == "goodput"]
    for rate in dict.fromkeys(entry["rate_bits_s"] for entry in goodput):
        for queue in dict.fromkeys(entry["queue_bdp"] for entry in goodput):
            some = [one for one in goodput if one["rate_bits_s"] == rate and one["queue_bdp"] == queue]
            if len({entry["loss"] for entry in some}) > 1:
                save(goodput_by_loss(scenario, some), f"goodput-{rate / 1e6:g}mbit-queue-{queue:g}.png")
    realtime = [entry for entry in entries if entry["part"] == "realtime"]
    for due in dict.fromkeys(entry["event"] for entry in realtime):
        save(latency_cdfs([entry for entry in realtime if entry["event"] == due]), f"realtime-bulk-due-{due}.png")
    for part, make in _OVER_TIME.items():
        first = _first_seed([entry for entry in entries if entry["part"] == part])
        for key in dict.fromkeys(_page(entry) for entry in first):
            save(make(scenario, [entry for entry in first if _page(entry) == key]), f"{part}-{key}.png")
    return made


def _page(entry: Entry) -> str:
    """What cells in one picture have in common."""
    common = entry["event"] or f"queue-{entry['queue_bdp']:g}"
    return str(common).replace(" ", "-").replace("%", "percent")


def _first_seed(entries: Sequence[Entry]) -> list[Entry]:
    seed = min((entry["seed"] for entry in entries), default=0)
    return [entry for entry in entries if entry["seed"] == seed]


def style(flow: Flow) -> dict[str, Any]:
    """Colour by congestion control, line by transport."""
    return {"color": COLOURS.get(flow.control, OTHER), "linestyle": LINES[flow.transport]}


def goodput_by_loss(scenario: CongestionScenario, summary: Sequence[Entry]) -> Figure:
    """Goodput and mean queueing delay against loss, a column for each direction."""
    directions = sorted({entry["direction"] for entry in summary}, reverse=True)
    figure = Figure(figsize=(4.4 * len(directions) + 1.6, 6.4), layout="constrained")
    panels = figure.subplots(2, len(directions), sharex=True, sharey="row", squeeze=False)
    kinds = (("goodput_share_settled", 100.0), ("queueing_settled_mean_s", 1000.0))
    for column, direction in enumerate(directions):
        own = [entry for entry in summary if entry["direction"] == direction]
        for axes, (name, factor) in zip(panels[:, column], kinds, strict=True):
            for text in dict.fromkeys(entry["flows"][0] for entry in own):
                some = sorted((one for one in own if one["flows"][0] == text), key=lambda one: float(one["loss"]))
                axes.errorbar(
                    [one["loss"] * 100 for one in some],
                    [one["mean"][name] * factor for one in some],
                    [(one["ci95"][name] or 0.0) * factor for one in some],
                    **{"marker": ".", "capsize": 2, "elinewidth": 0.8, "label": text, **style(Flow.parse(text))},
                )
            axes.grid(alpha=0.3)
            axes.set_ylim(bottom=0)
        panels[0][column].axhline(92, color="black", linewidth=0.8, linestyle=(0, (1, 3)))
        panels[0][column].set_title({"up": "upload", "down": "download"}[direction])
        panels[1][column].axhline(scenario.round_trip_s * 1000, color="black", linewidth=0.8, linestyle=(0, (1, 3)))
        panels[1][column].set_xlabel("random loss (%)")
    panels[0][0].set_ylabel("goodput after 2 s (% of the link's rate)")
    panels[1][0].set_ylabel("mean queueing delay (ms)")
    figure.suptitle(
        f"One bulk transfer at {summary[0]['rate_bits_s'] / 1e6:g} Mbit/s, {scenario.round_trip_s * 1000:g} ms,"
        f" queue {summary[0]['queue_bdp']:g} BDP; dotted: 92 %, one round trip"
    )
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside right center")
    return figure


def latency_cdfs(entries: Sequence[Entry]) -> Figure:
    """Latency of real-time requests: a panel for each flow, idle and under the flood, for each loss."""
    flows = list(dict.fromkeys(entry["flows"][0] for entry in entries))
    losses = sorted({entry["loss"] for entry in entries})
    figure = Figure(figsize=(3.4 * len(flows) + 0.6, 2.6 * len(losses) + 1.2), layout="constrained")
    panels = figure.subplots(len(losses), len(flows), sharex=True, sharey=True, squeeze=False)
    for row, loss in enumerate(losses):
        for axes, text in zip(panels[row], flows, strict=True):
            some = [entry for entry in entries if entry["flows"][0] == text and entry["loss"] == loss]
            for phase, colour in (("idle", "#999999"), ("flood", "#0072b2")):
                all_of = [value for entry in some for value in entry["probes"][phase]["latencies_s"]]
                answered = sorted(value * 1000 for value in all_of if value is not None)
                shares = [(number + 1) / len(all_of) for number in range(len(answered))]
                axes.step(answered, shares, where="post", color=colour, label={"idle": "idle link"}.get(phase, "flood"))
            axes.set_xscale("log")
            # A range of less than a decade has labels this way, too.
            axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 5.0)))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_locator(NullLocator())
            axes.grid(alpha=0.3)
            axes.set_ylim(0, 1.02)
            if row == 0:
                axes.set_title(text)
        panels[row][0].set_ylabel(f"loss {loss * 100:g} %\nshare answered within")
    for axes in panels[-1]:
        axes.set_xlabel("latency (ms)")
    figure.suptitle(
        "Real-time requests on an idle link and under a flood\n"
        f"of bulk calls with deadline: {entries[0]['event']}; all seeds"
    )
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside right center")
    return figure


def fairness(scenario: CongestionScenario, entries: Sequence[Entry]) -> Figure:
    """Both flows' goodput over time, Jain's index below: a panel for each pair."""
    columns = min(len(entries), COLUMNS)
    rows = math.ceil(len(entries) / columns)
    figure = Figure(figsize=(4.4 * columns + 0.6, 4.4 * rows + 0.6), layout="constrained")
    panels = figure.subplots(2 * rows, columns, sharex=True, squeeze=False, height_ratios=(2, 1) * rows)
    for place, entry in enumerate(entries):
        cell = cell_of(entry)
        upper, lower = panels[place // columns * 2 : place // columns * 2 + 2, place % columns]
        for number, (flow, name) in enumerate(zip(entry["flows_seen"], cell.flows, strict=True)):
            look = style(name) | ({"color": OTHER} if number and name == cell.flows[0] else {})
            _goodput_line(upper, flow["arrived"], steps=10, label=f"{name}, {'second' if number else 'first'}", **look)
        upper.axhline(cell.rate_bits_s / 2e6, color="black", linewidth=0.8, linestyle=(0, (1, 3)))
        upper.legend(fontsize="small", loc="upper right")
        upper.set_title(f"{cell.flows[0]}, then {cell.flows[1]}", fontsize=10)
        upper.set_ylim(0, cell.rate_bits_s / 1e6 * 1.3)
        if place % columns == 0:
            upper.set_ylabel("goodput (Mbit/s, over 1 s)")
            lower.set_ylabel("Jain's index")
        indices = jain_over_time([flow["arrived"] for flow in entry["flows_seen"]])
        lower.plot([at + WINDOW_S / 2 for at, _ in indices], [index for _, index in indices], color="black")
        lower.set_ylim(0.45, 1.03)
        lower.set_xlabel("time (s)")
        for axes in (upper, lower):
            axes.grid(alpha=0.3)
    for place in range(len(entries), rows * columns):
        for axes in panels[place // columns * 2 : place // columns * 2 + 2, place % columns]:
            axes.set_axis_off()
    figure.suptitle(
        f"Two uploads share {entries[0]['rate_bits_s'] / 1e6:g} Mbit/s, {scenario.round_trip_s * 1000:g} ms, queue"
        f" {entries[0]['queue_bdp']:g} BDP, seed {entries[0]['seed']}; dotted: half of the rate"
    )
    return figure


def changes(scenario: CongestionScenario, entries: Sequence[Entry]) -> Figure:
    """Goodput and queueing delay over time: a column for each flow."""
    figure = Figure(figsize=(3.8 * len(entries) + 0.6, 6.0), layout="constrained")
    panels = figure.subplots(2, len(entries), sharex=True, sharey="row", squeeze=False)
    for column, entry in enumerate(entries):
        cell = cell_of(entry)
        upper, lower = panels[:, column]
        _goodput_line(upper, entry["flows_seen"][0]["arrived"], label="goodput", **style(cell.flows[0]))
        link = link_of(cell, scenario)
        settings = link.towards(towards(cell))
        times, rates = [0.0], [_carried(settings)]
        for change in link.changes:
            settings = settings.with_values(change.values)
            times.append(change.at_s)
            rates.append(_carried(settings))
            for axes in (upper, lower):
                axes.axvline(change.at_s, color="black", linewidth=0.6, alpha=0.5)
        times.append(scenario.changes.seconds)
        rates.append(rates[-1])
        upper.step(times, [rate / 1e6 for rate in rates], where="post", color="black", linewidth=0.8, label="link")
        delays = entry["wire"][towards(cell)]["queueing_s"]
        shown = [math.nan if value is None else value * 1000 for value in delays]
        lower.plot([step * STEP_S for step in range(len(shown))], shown, color=OTHER, linewidth=1.0)
        upper.set_title(str(cell.flows[0]))
        lower.set_xlabel("time (s)")
        for axes in (upper, lower):
            axes.grid(alpha=0.3)
    panels[0][0].set_ylabel("goodput (Mbit/s, over 0.5 s)")
    panels[0][0].set_ylim(bottom=0)
    panels[1][0].set_ylabel("queueing delay (ms)")
    panels[1][0].set_ylim(bottom=0)
    figure.suptitle(f"One upload, {entries[0]['event']}, seed {entries[0]['seed']}; black: the link's rate")
    return figure


_OVER_TIME: dict[str, Callable[[CongestionScenario, Sequence[Entry]], Figure]] = {
    "fairness": fairness,
    "changes": changes,
}


def _carried(settings: LinkSettings) -> float:
    """Bits a second. Losses by chance are drawn before the queue and take nothing of the rate, unless they are all."""
    return settings.rate_bits_s if settings.loss < 1 else 0.0


def _goodput_line(axes: Axes, arrived: Sequence[int], *, label: str, steps: int = 5, **look: Any) -> None:
    points = [
        ((start + steps / 2) * STEP_S, sum(arrived[start : start + steps]) * 8 / (steps * STEP_S) / 1e6)
        for start in range(len(arrived) - steps + 1)
    ]
    axes.plot([at for at, _ in points], [value for _, value in points], label=label, linewidth=1.2, **look)
