"""A comparison for the tests: two workloads, three policies, two seeds, bounds that were set by hand."""

from __future__ import annotations

from dataclasses import replace

from policies.evaluation.bounds import Bound
from policies.evaluation.contestant import Contestant
from policies.evaluation.jobs import Cell
from policies.simulation.results import ClassResult, MixPoint, Result
from tests.unit.policies.simulation.worlds import world

WORKLOADS = [replace(world([0.0]), name="one"), replace(world([0.0]), name="two")]


def cell(workload: str, policy: str, seed: int, score: float, *, realtime: float = 1.0, bound: float = 0.9) -> Cell:
    """A run that came to this; `static` and the rest have no knobs, greedy has."""
    knobs = {"margin_sigmas": 2.0} if policy == "greedy" else {}
    by_class = {
        "bulk": ClassResult(1.0, 4, 1.0, 0.0, 0.5, 0.9, 0.6),
        "realtime": ClassResult(2.0, 6, realtime, 0.0, 0.2, 0.4, 0.3),
        "nobody": ClassResult(1.0, 0, 0.0, 0.0, None, None, None),
    }
    mix = (
        MixPoint(0.0, 2.0, {"large": 1.0, "small": 0.0, "shed": 0.0, "failed": 0.0}),
        MixPoint(50.0, 4.0, {"large": 0.25, "small": 0.5, "shed": 0.25, "failed": 0.0}),
    )
    result = Result(
        workload=workload,
        policy=policy,
        seed=seed,
        requests=10,
        score=score,
        on_time=0.9,
        weighted_on_time=score + 0.05,
        shed=0.1,
        failed=0.0,
        p50_s=0.3 if seed == 1 else None,
        p99_s=0.8,
        by_class=by_class,
        mix=mix,
        models={"large": 0.5, "small": 0.4},
    )
    return Cell(Contestant(policy, knobs, tuned=bool(knobs)), result, Bound(bound, exact=True, reached=0.88))


def comparison(subject: str = "dqn") -> list[Cell]:
    """The subject is 0.02 to 0.04 ahead of greedy on `one`, and 0.1 behind on one seed of `two`."""
    return [
        *(cell("one", "static:small", seed, 0.5) for seed in (1, 2)),
        *(cell("one", "greedy", seed, 0.70 + 0.05 * seed, realtime=0.9) for seed in (1, 2)),
        *(cell("one", subject, seed, 0.78 + 0.04 * seed) for seed in (1, 2)),
        *(cell("two", "static:small", seed, 0.5) for seed in (1, 2)),
        *(cell("two", "greedy", seed, 0.8) for seed in (1, 2)),
        *(cell("two", subject, seed, score) for seed, score in ((1, 0.7), (2, 0.81))),
    ]
