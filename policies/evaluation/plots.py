"""The results file as pictures, one file for each question and workload."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from policies.evaluation.summary import best, rival
from policies.evaluation.tables import by_workload

Entry = Mapping[str, Any]

MODEL_COLOURS = ("#1b4965", "#5fa8d3", "#cae9ff", "#8d99ae", "#bcb8b1")
"""Of the candidates, the best first; over again if there are more."""
SHED_COLOUR, FAILED_COLOUR = "#e5989b", "#9d0208"
CLASS_COLOURS = ("#b5179e", "#4895ef", "#f4a261", "#2a9d8f")
SUBJECT_COLOUR, OTHER_COLOUR = "#2a9d8f", "#8d99ae"
DPI = 120


def plot(content: Mapping[str, Any], directory: Path) -> list[Path]:
    """Draw what the results have; the files. Raises OSError where the directory can't be written."""
    directory.mkdir(parents=True, exist_ok=True)
    files = []
    for workload, entries in by_workload(content["summary"]).items():
        drawn = {
            "score": scores(workload, entries),
            "on-time": on_time(workload, entries),
            "regret": regret(workload, entries),
            "mix": mix(workload, _mixes(content, workload, entries), _by_quality(content, workload)),
        }
        for kind, figure in drawn.items():
            if figure is not None:
                file = directory / f"{workload}-{kind}.png"
                figure.savefig(file, dpi=DPI)
                files.append(file)
    return files


def scores(workload: str, entries: Sequence[Entry]) -> Figure:
    """Score of each policy with its interval; the bound as a line."""
    figure, axes = _bars(entries, "score", f"{workload}: score, mean and 95 % interval of {entries[0]['seeds']} seeds")
    bound = entries[0]["mean"]["bound"]
    if bound is not None:
        axes.axvline(bound, color="black", linestyle=":", linewidth=1.0)
        axes.annotate("bound", (bound, 1.0), xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=8)
    return figure


def regret(workload: str, entries: Sequence[Entry]) -> Figure | None:
    """What each policy is below the bound; None without one."""
    if entries[0]["mean"]["regret"] is None:
        return None
    return _bars(entries, "regret", f"{workload}: bound less score, mean and 95 % interval")[0]


def on_time(workload: str, entries: Sequence[Entry]) -> Figure:
    """Share on time of each class and policy."""
    ordered = _ordered(entries)
    classes = list(dict.fromkeys(name for entry in entries for name in entry["mean"]["by_class"]))
    figure = Figure(figsize=(7.5, 0.9 + 0.42 * len(ordered)), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / max(1, len(classes))
    for place, (name, colour) in enumerate(zip(classes, CLASS_COLOURS * len(classes), strict=False)):
        at = [row + (place - (len(classes) - 1) / 2) * height for row in range(len(ordered))]
        means = [entry["mean"]["by_class"].get(name, {}).get("on_time") or 0.0 for entry in ordered]
        halves = [entry["ci95"]["by_class"].get(name, {}).get("on_time") or 0.0 for entry in ordered]
        axes.barh(at, means, height, xerr=halves, color=colour, label=name, error_kw={"linewidth": 0.8})
    _name_rows(axes, ordered)
    axes.set_xlim(0.0, 1.02)
    axes.set_title(f"{workload}: share on time by class", fontsize=10)
    figure.legend(loc="outside lower center", ncols=len(classes))
    return figure


def mix(workload: str, cells: Sequence[Entry], models: Sequence[str]) -> Figure | None:
    """Which of the models answered over time, below the arrival rate; one column a policy, all of one seed."""
    if not cells:
        return None
    figure = Figure(figsize=(4.2 * len(cells) + 0.6, 5.0), layout="constrained")
    panels = figure.subplots(2, len(cells), sharex=True, sharey="row", squeeze=False, height_ratios=(1, 2))
    names = [*models, "shed", "failed"]
    colours = dict(zip(models, MODEL_COLOURS * len(models), strict=False))
    colours |= {"shed": SHED_COLOUR, "failed": FAILED_COLOUR}
    for cell, (above, below) in zip(cells, panels.T, strict=True):
        points = cell["mix"]
        above.plot(points["at_s"], points["rate"], color="black", linewidth=1.0, drawstyle="steps-post")
        above.set_title(f"{cell['policy']}, score {cell['metrics']['score']:.3f}", fontsize=10)
        shares = [points["share"][name] for name in names]
        below.stackplot(points["at_s"], shares, colors=[colours[name] for name in names], labels=names, step="post")
        below.set_xlabel("time (s)")
        below.set_ylim(0.0, 1.0)
    panels[0][0].set_ylabel("requests/s")
    panels[1][0].set_ylabel("share of requests")
    figure.suptitle(f"{workload}, seed {cells[0]['seed']}: arrival rate, and who answered")
    handles, labels = panels[1][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def _mixes(content: Mapping[str, Any], workload: str, entries: Sequence[Entry]) -> list[Entry]:
    """Cells with a mix: of the policy in question, the best other and the best static model, else the best."""
    found = rival(entries)
    wanted = [entry["policy"] for entry in found] if found else [best(entries)["policy"]]
    static = [entry for entry in entries if entry["policy"].startswith("static:")]
    wanted += [best(static)["policy"]] if static else []
    by_policy = {cell["policy"]: cell for cell in content["cells"] if cell["workload"] == workload and cell.get("mix")}
    return [by_policy[name] for name in dict.fromkeys(wanted) if name in by_policy]


def _by_quality(content: Mapping[str, Any], workload: str) -> list[str]:
    """The candidates, the best first."""
    candidates = content["scenario"]["workloads"][workload]["candidates"]
    return [one["model"] for one in sorted(candidates, key=lambda one: -one["quality"])]


def _bars(entries: Sequence[Entry], figure_of: str, title: str) -> tuple[Figure, Any]:
    ordered = _ordered(entries)
    figure = Figure(figsize=(7.5, 0.9 + 0.28 * len(ordered)), layout="constrained")
    axes = figure.subplots()
    axes.barh(
        range(len(ordered)),
        [entry["mean"][figure_of] for entry in ordered],
        xerr=[entry["ci95"][figure_of] or 0.0 for entry in ordered],
        color=[SUBJECT_COLOUR if "ahead_of" in entry else OTHER_COLOUR for entry in ordered],
        error_kw={"linewidth": 1.0, "capsize": 2},
    )
    _name_rows(axes, ordered)
    axes.set_title(title, fontsize=10, loc="left", pad=14)
    return figure, axes


def _ordered(entries: Sequence[Entry]) -> list[Entry]:
    """By score, the best first."""
    return sorted(entries, key=lambda entry: -entry["mean"]["score"])


def _name_rows(axes: Any, ordered: Sequence[Entry]) -> None:
    axes.set_yticks(range(len(ordered)), [entry["policy"] for entry in ordered], fontsize=8)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
