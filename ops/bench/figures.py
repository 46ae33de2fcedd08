"""Arithmetic on what was measured: percentiles, spread over rounds, comparison with the other paths of a round."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Two-sided 95 % points of Student's t for 1, 2, … degrees of freedom; past the table, the normal distribution's.
_T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
_Z95 = 1.960


@dataclass(frozen=True, slots=True)
class Measurement:
    """One path in one cell in one round. Figures of calls that were answered; None where none was."""

    calls: int
    errors: int
    first_error: str
    calls_per_s: float
    mean_s: float | None
    p50_s: float | None
    p99_s: float | None
    cpu_s_per_call: float | None
    """CPU time of the path's own processes, without client and backend; 0 for the direct path."""


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure over the rounds of a cell."""

    median: float
    low: float
    high: float
    mean: float
    ci95: float | None
    """Half width of the 95 % interval of the mean; None for a single round."""


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest value that at least `share` of the values do not exceed (nearest rank); None without values."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def spread(values: Sequence[float | None]) -> Spread | None:
    """Median, extremes, mean and its interval of the values that are there; None when there are none."""
    there = [value for value in values if value is not None]
    if not there:
        return None
    ci95 = None
    if len(there) > 1:
        freedom = len(there) - 1
        factor = _T95[freedom - 1] if freedom <= len(_T95) else _Z95
        ci95 = factor * statistics.stdev(there) / math.sqrt(len(there))
    return Spread(statistics.median(there), min(there), max(there), statistics.fmean(there), ci95)


def over(measured: Sequence[Mapping[str, Any]], figure: Callable[[Spread], float | None]) -> dict[str, Any]:
    """Of each key that some have, `figure` of the spread over those; keys of keys likewise."""
    found: dict[str, Any] = {}
    for key in dict.fromkeys(key for one in measured for key in one):
        values = [one.get(key) for one in measured]
        if any(isinstance(value, Mapping) for value in values):
            found[key] = over([value for value in values if isinstance(value, Mapping)], figure)
        else:
            result = spread(values)
            found[key] = None if result is None else figure(result)
    return found


def added_p50_s(path: Measurement, direct: Measurement) -> float | None:
    """What the path adds to the median call, in seconds."""
    if path.p50_s is None or direct.p50_s is None:
        return None
    return path.p50_s - direct.p50_s


def added_hops(path: Measurement, direct: Measurement, hop: Measurement) -> float | None:
    """What the path adds to the median call, in bare hops."""
    added, unit = added_p50_s(path, direct), added_p50_s(hop, direct)
    if added is None or unit is None or unit <= 0:
        return None
    return added / unit


def rate_ratio(path: Measurement, other: Measurement) -> float | None:
    """The path's calls per second over the other's."""
    return path.calls_per_s / other.calls_per_s if other.calls_per_s else None


def compare(rounds: Sequence[Mapping[str, Measurement]], peer: str) -> dict[str, Spread]:
    """All figures of one peer in one cell.

    A comparison is made within each round, whose paths were measured one right after the other, and its spread is
    that of the rounds' ratios: a machine that is slower in one round than in the next does not show as a difference.
    """
    figures = dict(_OWN)
    figures |= {
        f"rate_to_{other}": _Figure((other,), rate_ratio)
        for other in sorted({name for paths in rounds for name in paths} - {peer})
    }
    found: dict[str, Spread] = {}
    for name, figure in figures.items():
        needed = (peer, *figure.others)
        values = [
            figure.of(*(paths[path] for path in needed)) for paths in rounds if all(path in paths for path in needed)
        ]
        if peer not in figure.others and (result := spread(values)) is not None:
            found[name] = result
    return found


@dataclass(frozen=True, slots=True)
class _Figure:
    """A figure of a path: the other paths that it is compared with in the same round, and the arithmetic."""

    others: tuple[str, ...]
    of: Callable[..., float | None]


_OWN = {
    "p50_s": _Figure((), lambda path: path.p50_s),
    "p99_s": _Figure((), lambda path: path.p99_s),
    "mean_s": _Figure((), lambda path: path.mean_s),
    "calls_per_s": _Figure((), lambda path: path.calls_per_s),
    "cpu_s_per_call": _Figure((), lambda path: path.cpu_s_per_call),
    "errors": _Figure((), lambda path: float(path.errors)),
    "added_p50_s": _Figure(("direct",), added_p50_s),
    "added_hops": _Figure(("direct", "hop"), added_hops),
}
