"""The knobs of one policy on one workload: tried on validation seeds.

Per workload, which is more than an operator of changing traffic can do, and so the stronger rival. All combinations of
a policy's knobs are scored on the first seed, the best of those on all seeds. Model switching gets its table from
simulating each model alone over a grid of the rates that the workload has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from policies.selection.model_switching import Table, switching_table
from policies.selection.static import Static
from policies.selection.tuning import TUNABLE, PolicyFactory, Score, Tunable, search_in_stages, with_settings
from policies.simulation.arrivals import Stable
from policies.simulation.run import run
from policies.simulation.trace import Trace, draw
from policies.simulation.workload import Workload

VALIDATION_SEEDS = tuple(range(900, 905))
"""Unless told otherwise; comparisons begin at 1000."""

TABLE_RATES = 10
"""Arrival rates at which each model is simulated for the table, each about 1.3 to 1.6 times the one before."""
THRESHOLDS = ((0.15, 0.3, 0.45, 0.6), (0.6, 0.8, 1.0))
"""How far up the grid of rates the lower and the upper threshold are tried."""
TABLE_SECONDS = 40.0
"""Simulated at each rate. 40 s are six times the shipped workloads' longest deadline."""


@dataclass(frozen=True, slots=True)
class TuneJob:
    """A policy to tune on a workload."""

    workload: Workload
    policy: str
    """A name in `TUNABLE`."""
    seeds: tuple[int, ...]


class Knobs(NamedTuple):
    """What a search came to."""

    knobs: Mapping[str, object]
    score: float
    """Mean over the seeds."""


def tune(job: TuneJob) -> Knobs:
    """The best knobs that the search finds."""
    workload = job.workload
    traces = {seed: draw(workload, seed) for seed in job.seeds}
    score_first, score_all = _score(workload, dict(list(traces.items())[:1])), _score(workload, traces)
    found = []
    for tunable, fixed in grids(job.policy, workload, list(traces.values()), job.seeds[0]):
        best = search_in_stages(tunable, score_first, score_all)[0]
        found.append(Knobs({**fixed, **best.knobs}, best.score))
    return max(found, key=lambda knobs: knobs.score)


def grids(
    policy: str, workload: Workload, traces: Sequence[Trace], seed: int
) -> list[tuple[Tunable, dict[str, object]]]:
    """What to search over for a workload, each with what is set in it.

    Model switching has two grids, with the table and with the one that it makes of the profiles; the thresholds are
    among the rates of the traces.
    """
    tunable = TUNABLE[policy]
    if policy == "model_switching":
        fixed: dict[str, object] = {"table": table(workload, traces, seed)}
        return [(with_settings(policy, **fixed), fixed), (tunable, {})]
    if policy == "thresholds":
        there = rates(traces, workload.seconds)
        low, high = (
            tuple(dict.fromkeys(there[int(part * (len(there) - 1))] for part in parts)) for parts in THRESHOLDS
        )
        return [(replace(tunable, knobs={**tunable.knobs, "low": low, "high": high}), {})]
    return [(tunable, {})]


def combinations(policy: str) -> int:
    """How many runs a search over it takes on one seed, about."""
    return sum(1 for _ in TUNABLE[policy].grid())


def table(workload: Workload, traces: Sequence[Trace], seed: int) -> Table:
    """Which model is best at which of the rates that the traces have, each rate held."""
    scores = {}
    for rate in rates(traces, workload.seconds):
        steady = replace(workload, arrivals=Stable((rate,), TABLE_SECONDS), seconds=TABLE_SECONDS, events=(), mix=())
        trace = draw(steady, seed)
        models = [candidate.model for candidate in workload.candidates]
        scores[rate] = {model: run(steady, Static(model), seed, trace=trace).score for model in models}
    return tuple((round(rate, 2), model) for rate, model in switching_table(scores))


def rates(traces: Sequence[Trace], seconds: float) -> list[float]:
    """A geometric grid over the requests that arrive within single seconds, but for the rarest hundredth."""
    whole = max(1, int(seconds))
    counts = np.concatenate([np.histogram(trace.arrived_at, bins=whole, range=(0.0, whole))[0] for trace in traces])
    there = counts[counts > 0]
    if not len(there):
        return [1.0]
    low, high = np.percentile(there, [1, 99])
    return sorted({round(float(rate), 1) for rate in np.geomspace(low, high, TABLE_RATES)})


def _score(workload: Workload, traces: Mapping[int, Trace]) -> Score:
    def score(make: PolicyFactory) -> float:
        return float(np.mean([run(workload, make(), seed, trace=trace).score for seed, trace in traces.items()]))

    return score
