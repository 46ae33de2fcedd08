"""The pieces that a comparison is made of; each can be done in any process, in any order, with the same result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from policies.evaluation.bounds import EXACT_REQUESTS, Bound, bound_of
from policies.evaluation.contestant import Contestant
from policies.simulation.results import Result
from policies.simulation.run import run
from policies.simulation.trace import draw
from policies.simulation.workload import Workload

BOUND_COST, LEARNED_COST = 15.0, 15.0
"""Of a request in the relaxed bound and at a learned policy, over one at another policy; for the time that is left. On
one core of the machine they were taken on, 360 to 390 µs and 25 µs.
"""
EXACT_COST = 1500.0
"""Of a request in the exact bound: 35 ms."""


@dataclass(frozen=True, slots=True)
class RunJob:
    """One policy on one seed of a workload."""

    workload: Workload
    seed: int
    contestant: Contestant
    cost: float
    """About how long it takes, in any unit."""


@dataclass(frozen=True, slots=True)
class BoundJob:
    """The bound of one seed of a workload, which all policies share."""

    workload: Workload
    seed: int
    cost: float
    """As `RunJob`'s."""


class Cell(NamedTuple):
    """One policy on one seed of a workload, and that seed's bound; None where it was not asked for."""

    contestant: Contestant
    result: Result
    bound: Bound | None


Job = RunJob | BoundJob


def jobs_of(
    workloads: Sequence[tuple[Workload, Sequence[Contestant]]], seeds: Sequence[int], *, bound: bool
) -> list[Job]:
    """All there is to do, the longest first, so that no process has one left when the others have ended."""
    jobs: list[Job] = []
    for workload, contestants in workloads:
        requests = len(draw(workload, seeds[0])) + 1
        bound_cost = EXACT_COST if requests <= EXACT_REQUESTS else BOUND_COST
        for seed in seeds:
            if bound:
                jobs.append(BoundJob(workload, seed, requests * bound_cost))
            for contestant in contestants:
                cost = requests * (LEARNED_COST if contestant.learned else 1.0)
                jobs.append(RunJob(workload, seed, contestant, cost))
    return sorted(jobs, key=lambda job: -job.cost)


def do(job: Job) -> Result | Bound:
    """Run it."""
    trace = draw(job.workload, job.seed)
    if isinstance(job, BoundJob):
        return bound_of(job.workload, trace)
    result = run(job.workload, job.contestant.make(), job.seed, trace=trace)
    return replace(result, policy=job.contestant.name)


def cells(jobs: Sequence[Job], found: Sequence[Result | Bound]) -> Iterator[Cell]:
    """Each result with its bound; ordered by workload, policy and seed as these were first named."""
    bounds = {
        (job.workload.name, job.seed): bound for job, bound in zip(jobs, found, strict=True) if isinstance(bound, Bound)
    }
    for job, result in zip(jobs, found, strict=True):
        if isinstance(job, RunJob) and isinstance(result, Result):
            yield Cell(job.contestant, result, bounds.get((job.workload.name, job.seed)))
