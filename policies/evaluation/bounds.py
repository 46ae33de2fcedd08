"""The clairvoyant bound of a trace: exact where it is small, relaxed where it is long."""

from __future__ import annotations

import math
from typing import NamedTuple

from policies.simulation.clairvoyant import exact, jobs_and_servers, relaxed
from policies.simulation.trace import Trace
from policies.simulation.workload import Workload

EXACT_REQUESTS = 50
"""The integer programme of 45 requests over 3 candidates takes 1.3 s on one core in steps of 50 ms."""
STEP_S = 0.05
"""Of the integer programme's grid, or the shortest batch where that is less. On traces of 35 to 45 requests, steps of
20 ms moved the bound by up to 0.002 and took five times as long.
"""
LIMIT_S = 30.0
"""For one integer programme; when it is not done by then, its bound stands, less close."""
ROUNDS = 5
"""Of the relaxed bound's rows. On the shipped stable workload the bound is 0.9275 with 5 and 0.9270 with 8, on the
unpredictable one 0.8708 and 0.8690, at half the time: 7.7 s instead of 17.3 s of one core for 19 618 requests.
"""


class Bound(NamedTuple):
    """What no policy exceeds, on the scale of `Result.score`."""

    score: float
    exact: bool
    """Whether it is the integer programme's."""
    reached: float | None = None
    """Of the integer programme: a clairvoyant's schedule on its grid reaches this."""


def bound_of(workload: Workload, trace: Trace) -> Bound:
    """The bound of one trace; exact up to `EXACT_REQUESTS`, where the programme can say it."""
    jobs, servers = jobs_and_servers(workload, trace)
    worth = sum(job.weight for job in jobs) * workload.best_quality
    if not worth:
        return Bound(0.0, exact=False)
    sayable = not workload.streaming and all(math.isfinite(job.due_at) for job in jobs)
    if sayable and len(jobs) <= EXACT_REQUESTS:
        step_s = min(STEP_S, *(min(server.latency_s) for server in servers))
        bracket = exact(jobs, servers, step_s=step_s, limit_s=LIMIT_S)
        return Bound(min(1.0, bracket.upper / worth), exact=True, reached=min(1.0, bracket.lower / worth))
    return Bound(min(1.0, relaxed(jobs, servers, rounds=ROUNDS) / worth), exact=False)
