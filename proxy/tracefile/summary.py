"""How calls went, by class and by stage."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from proxy.tracefile.calls import Call
from proxy.tracefile.stages import in_order

UNNAMED = "not named"
"""In place of a stage, where the span of a missed call names none."""


def quantile(values: Sequence[float], share: float) -> float:
    """The least value that at least this share of `values` (sorted) does not exceed; NaN of none."""
    return values[max(0, math.ceil(share * len(values)) - 1)] if values else math.nan


@dataclass(frozen=True, slots=True)
class ClassSummary:
    """The calls of one class."""

    name: str
    deadlines_ms: tuple[float, float] | None
    """Least and greatest; None where no call has one."""
    calls: int
    on_time: int
    missed: int
    failed: int
    p50_ms: float
    p99_ms: float
    """Of what the proxy saw, from arrival to end; every call counts."""
    models: Counter[str]
    """Which model answered how often."""


@dataclass(frozen=True, slots=True)
class StageSummary:
    """One stage over all calls; milliseconds."""

    name: str
    misses: Counter[str]
    """Deadlines that ran out in it, by class."""
    median_on_time_ms: float
    median_missed_ms: float
    p99_ms: float
    """NaN where no call of that kind tells of the stage."""


def by_class(calls: Iterable[Call]) -> list[ClassSummary]:
    """Sorted by the classes' least deadlines, then by name."""
    groups: dict[str, list[Call]] = {}
    for call in calls:
        groups.setdefault(call.traffic_class, []).append(call)
    found = [_class_summary(name, group) for name, group in groups.items()]
    return sorted(found, key=lambda one: (one.deadlines_ms[0] if one.deadlines_ms else math.inf, one.name))


def _class_summary(name: str, calls: Sequence[Call]) -> ClassSummary:
    deadlines = [call.deadline_ms for call in calls if call.deadline_ms is not None]
    durations = sorted(call.duration_ms for call in calls)
    return ClassSummary(
        name=name,
        deadlines_ms=(min(deadlines), max(deadlines)) if deadlines else None,
        calls=len(calls),
        on_time=sum(call.on_time for call in calls),
        missed=sum(call.missed for call in calls),
        failed=sum(call.failed for call in calls),
        p50_ms=quantile(durations, 0.5),
        p99_ms=quantile(durations, 0.99),
        models=Counter(call.answered for call in calls if call.answered),
    )


def by_stage(calls: Sequence[Call]) -> list[StageSummary]:
    """Every stage that any call tells of, in order; last the misses for which no stage is named."""
    misses: dict[str, Counter[str]] = {}
    on_time: dict[str, list[float]] = {}
    missed: dict[str, list[float]] = {}
    for call in calls:
        if call.missed:
            misses.setdefault(call.missed_at or UNNAMED, Counter())[call.traffic_class] += 1
        for name, took_ms in call.stages.items():
            (missed if call.missed else on_time).setdefault(name, []).append(took_ms)
    unnamed = misses.pop(UNNAMED, None)
    found = in_order(dict.fromkeys([*on_time, *missed, *misses]))
    stages = [_stage_summary(name, misses.get(name), on_time.get(name, []), missed.get(name, [])) for name in found]
    return stages if unnamed is None else [*stages, _stage_summary(UNNAMED, unnamed, [], [])]


def _stage_summary(
    name: str, misses: Counter[str] | None, on_time: Sequence[float], missed: Sequence[float]
) -> StageSummary:
    return StageSummary(
        name=name,
        misses=misses if misses is not None else Counter(),
        median_on_time_ms=quantile(sorted(on_time), 0.5),
        median_missed_ms=quantile(sorted(missed), 0.5),
        p99_ms=quantile(sorted([*on_time, *missed]), 0.99),
    )
