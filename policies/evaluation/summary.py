"""Cells of several seeds → one entry a workload and policy: means, 95 % intervals, paired differences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from policies.evaluation.contestant import Contestant
from policies.evaluation.jobs import Cell
from policies.simulation.results import mean_and_interval

Entry = dict[str, Any]
PAIRED = ("score", "weighted_on_time")
"""Figures that are compared seed by seed, besides each class's share on time."""


def metrics(cell: Cell) -> Entry:
    """The figures of one cell, as they stand in the results file."""
    result, bound = cell.result, cell.bound
    return {
        "on_time": result.on_time,
        "weighted_on_time": result.weighted_on_time,
        "score": result.score,
        "bound_share": result.score / bound.score if bound is not None and bound.score else None,
        "bound": None if bound is None else bound.score,
        "bound_reached": None if bound is None else bound.reached,
        "regret": None if bound is None else bound.score - result.score,
        "shed": result.shed,
        "failed": result.failed,
        "p50_s": result.p50_s,
        "p99_s": result.p99_s,
        "models": dict(result.models),
        "by_class": {
            name: {
                "weight": of.weight,
                "on_time": of.on_time,
                "shed": of.shed,
                "p50_s": of.p50_s,
                "p99_s": of.p99_s,
                "mean_s": of.mean_s,
            }
            for name, of in result.by_class.items()
            if of.requests
        },
    }


def summarise(cells: Sequence[Cell]) -> list[Entry]:
    """One entry a workload and policy, in the order of the cells.

    `ci95` is the half width of Student's interval, None for a single seed. The workload's subject, which is the first
    learned policy or else the best of all, has `ahead_of`: its figures less those of each other policy, seed by seed.
    It is ahead outside the interval where `mean` exceeds `ci95`. `exact_bound` is how many seeds have an exact bound.
    """
    entries = []
    for workload, by_policy in _grouped(cells).items():
        subject = _subject(by_policy)
        for name, seeds in by_policy.items():
            figures = [metrics(cell) for cell in seeds.values()]
            first = next(iter(seeds.values()))
            entry = {
                **NO_NETWORK,
                "policy": name,
                "workload": workload,
                "seeds": len(seeds),
                "mean": dict(_over(figures, 0)),
                "ci95": dict(_over(figures, 1)),
                "knobs": dict(first.contestant.knobs),
                "tuned": first.contestant.tuned,
                "exact_bound": sum(cell.bound is not None and cell.bound.exact for cell in seeds.values()),
            }
            if name == subject:
                entry["ahead_of"] = {
                    other: paired(seeds, theirs) for other, theirs in by_policy.items() if other != name
                }
            entries.append(entry)
    return entries


NO_NETWORK: Entry = {"transport": None, "scheduler": None, "congestion_control": None, "load": None}
"""Keys of the results format that model selection has nothing for."""


def paired(one: Mapping[int, Cell], other: Mapping[int, Cell]) -> Entry:
    """Mean difference of each figure and half the width of its interval, over the seeds that both have."""
    both = [(metrics(one[seed]), metrics(other[seed])) for seed in one if seed in other]
    found: Entry = {"seeds": len(both)}
    for key in PAIRED:
        found[key] = _difference([mine[key] - theirs[key] for mine, theirs in both])
    names = dict.fromkeys(name for mine, theirs in both for name in mine["by_class"] if name in theirs["by_class"])
    found["on_time_by_class"] = {
        name: _difference(
            [
                mine["by_class"][name]["on_time"] - theirs["by_class"][name]["on_time"]
                for mine, theirs in both
                if name in mine["by_class"]
            ]
        )
        for name in names
    }
    return found


def best(entries: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The entry of the highest mean score; of equal ones the first."""
    return max(entries, key=lambda entry: entry["mean"]["score"])


def rival(entries: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
    """A workload's subject and the best of the others; None where it stands alone."""
    subject = next((entry for entry in entries if "ahead_of" in entry), None)
    others = [entry for entry in entries if subject is not None and entry["policy"] in subject["ahead_of"]]
    baselines = [entry for entry in others if not _is_learned(entry["policy"])] or others
    return (subject, best(baselines)) if subject is not None and baselines else None


def _is_learned(name: str) -> bool:
    return Contestant(name).learned


def _grouped(cells: Sequence[Cell]) -> dict[str, dict[str, dict[int, Cell]]]:
    """By workload, policy and seed."""
    grouped: dict[str, dict[str, dict[int, Cell]]] = {}
    for cell in cells:
        of_workload = grouped.setdefault(cell.result.workload, {})
        of_workload.setdefault(cell.contestant.name, {})[cell.result.seed] = cell
    return grouped


def _subject(by_policy: Mapping[str, Mapping[int, Cell]]) -> str:
    learned = [name for name in by_policy if _is_learned(name)]
    scores = {name: sum(cell.result.score for cell in seeds.values()) for name, seeds in by_policy.items()}
    return learned[0] if learned else max(scores, key=scores.__getitem__)


def _difference(values: Sequence[float]) -> Entry:
    mean, half = mean_and_interval(values)
    return {"mean": mean, "ci95": half if len(values) > 1 else None}


def _over(figures: Sequence[Mapping[str, Any]], part: int) -> Iterator[tuple[str, Any]]:
    """Each figure's mean (part 0) or interval (part 1) over those that have it; None where none has."""
    for key in dict.fromkeys(key for one in figures for key in one):
        values = [one[key] for one in figures if one.get(key) is not None]
        if any(isinstance(value, Mapping) for value in values):
            yield key, dict(_over(values, part))
        elif not values or (part and len(values) == 1):
            yield key, None
        else:
            yield key, mean_and_interval(values)[part]
