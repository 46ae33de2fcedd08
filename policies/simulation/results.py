"""What a run came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policies.reward import score
from policies.simulation.trace import Trace
from policies.simulation.workload import Workload

SHED = -1
"""In place of a candidate: refused by the policy."""
FAILED = -2
"""Failed at every candidate that it could be sent to, or given up at its deadline."""
OPEN = -3
"""Not decided, or not ended."""

MIX_BINS = 60
"""Points of the model mix over time."""

_T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
"""Student's t for 1, 2, … degrees of freedom."""


class Outcome:
    """What became of each request, by its place in the trace; filled in by the simulator."""

    __slots__ = ("candidate", "finished_at", "on_time", "reward")

    def __init__(self, count: int) -> None:
        self.candidate = [OPEN] * count
        """Which one answered, or one of the constants."""
        self.reward = [0.0] * count
        self.on_time = [False] * count
        self.finished_at = [float("nan")] * count
        """When the whole answer was at the client; not a number without an answer."""


@dataclass(frozen=True, slots=True)
class ClassResult:
    """Of one traffic class. Latencies are of answered requests, from client to client; None without any."""

    weight: float
    requests: int
    on_time: float
    shed: float
    p50_s: float | None
    p99_s: float | None
    mean_s: float | None


@dataclass(frozen=True, slots=True)
class MixPoint:
    """One piece of time, by when requests were sent."""

    at: float
    """Its beginning."""
    rate: float
    """Requests a second."""
    share: dict[str, float]
    """Of the requests, by the model that answered; `shed` and `failed` for the others."""


@dataclass(frozen=True, slots=True)
class Result:
    """Of one workload, policy and seed. Shares are of all requests."""

    workload: str
    policy: str
    seed: int
    requests: int
    score: float
    """Rewards as a share of every request at the best quality in time."""
    on_time: float
    weighted_on_time: float
    shed: float
    failed: float
    p50_s: float | None
    p99_s: float | None
    by_class: dict[str, ClassResult]
    mix: tuple[MixPoint, ...]
    models: dict[str, float]
    """Share of the requests that each answered."""


def summarise(workload: Workload, policy: str, seed: int, trace: Trace, outcome: Outcome) -> Result:
    """The result of a run that has ended."""
    candidate, on_time = np.array(outcome.candidate, dtype=int), np.array(outcome.on_time, dtype=bool)
    kind = np.array(trace.kind, dtype=int)
    weight = np.array([described.traffic.weight for described in workload.classes])[kind]
    sent, latency = np.array(trace.sent_at), np.array(outcome.finished_at) - np.array(trace.sent_at)
    by_class = {}
    for place, described in enumerate(workload.classes):
        own = kind == place
        p50, p99, mean = _latencies(latency[own])
        by_class[described.traffic.name] = ClassResult(
            weight=described.traffic.weight,
            requests=int(own.sum()),
            on_time=_share(on_time[own]),
            shed=_share(candidate[own] == SHED),
            p50_s=p50,
            p99_s=p99,
            mean_s=mean,
        )
    p50, p99, _ = _latencies(latency)
    names = _names(workload)
    return Result(
        workload=workload.name,
        policy=policy,
        seed=seed,
        requests=len(trace),
        score=score(sum(outcome.reward), float(weight.sum()), workload.best_quality),
        on_time=_share(on_time),
        weighted_on_time=score(float(weight[on_time].sum()), float(weight.sum()), 1.0),
        shed=_share(candidate == SHED),
        failed=_share(candidate == FAILED),
        p50_s=p50,
        p99_s=p99,
        by_class=by_class,
        mix=_mix(workload, sent, candidate),
        models={name: _share(candidate == place) for place, name in names.items() if place >= 0},
    )


def _names(workload: Workload) -> dict[int, str]:
    names = {place: described.model for place, described in enumerate(workload.candidates)}
    return {**names, SHED: "shed", FAILED: "failed"}


def _mix(workload: Workload, sent: NDArray[Any], candidate: NDArray[Any]) -> tuple[MixPoint, ...]:
    edges = np.linspace(0.0, workload.seconds, MIX_BINS + 1)
    points = []
    for start, end in pairwise(edges.tolist()):
        inside = candidate[(sent >= start) & (sent < end)]
        share = {name: _share(inside == place) for place, name in _names(workload).items()}
        points.append(MixPoint(start, len(inside) / (end - start), share))
    return tuple(points)


def _share(values: NDArray[Any]) -> float:
    return float(values.mean()) if len(values) else 0.0


def _latencies(values: NDArray[Any]) -> tuple[float | None, float | None, float | None]:
    known = values[~np.isnan(values)]
    if not len(known):
        return None, None, None
    p50, p99 = np.percentile(known, [50, 99])
    return float(p50), float(p99), float(known.mean())


def mean_and_interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and half the width of its 95 % interval by Student's t; 0 for one value, which has none."""
    array = np.array(values)
    half = student_95(len(array) - 1) * float(array.std(ddof=1)) / len(array) ** 0.5 if len(array) > 1 else 0.0
    return float(array.mean()), half


def student_95(freedom: int) -> float:
    """The two-sided 95 % point of Student's t; past the table by Cornish and Fisher's series."""
    if freedom <= len(_T95):
        return _T95[freedom - 1]
    return 1.960 + 2.372 / freedom + 2.823 / freedom**2 + 2.556 / freedom**3
