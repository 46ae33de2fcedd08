"""What no selection policy can exceed: the reward that one who knows all arrivals reaches at most.

It knows when each request reaches the daemon, when its answer must leave, and how long every batch takes (medians of
the profiles, at the fastest that the workload's events make them; a candidate that fails is taken to be there). It
may put any requests in a batch and start it whenever all of them are there.

`relaxed` is a linear programme with one variable for each request and candidate, for long traces. A request in a batch
of b takes the b-th part of the batch's time, and at least its least part over the batches that it can be in at all: a
batch needs b requests whose time covers the whole of it. What the requests take that must begin and end between two
times is no more than the time between them on every instance (Horn, 1974, for interrupted work, of which batches are a
special case). Each pair of a release and a due time is such a row; rows are added as solutions break them, and every
subset of them is a relaxation, so the sum over stretches of the trace, each with all candidates to itself, is one too.

`exact` is an integer programme over a grid of times, for small traces: how many batches of a size start at a
candidate at a time, and which requests are in those. With every time rounded down a schedule stays one, so its
optimum is an upper bound; with releases and durations rounded up it is the value of a schedule that exists. If all
times are multiples of the step both are the optimum. HiGHS, through scipy, solves both programmes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, linprog, milp  # type: ignore[import-untyped]
from scipy.sparse import coo_array, csr_array, vstack  # type: ignore[import-untyped]

from policies.simulation.trace import Trace
from policies.simulation.workload import Workload

Floats = NDArray[np.float64]

STRETCH = 800
"""Requests of a stretch. Of the first 2400 of the shipped stable workload, with 12 rounds, the bound was 0.927 in
stretches of 500, 0.910 of 800 and 0.908 of 1200, in 2.2, 3.0 and 3.5 s on one core.
"""
ROUNDS = 8
"""Of adding rows. In the same stretches of 800 the bound was 0.917 after 4, 0.912 after 5 and 0.910 after 8 and 12, in
0.5, 0.6, 1.4 and 3.0 s.
"""
ROWS = 25
"""Rows added for a server in a round at most, those broken most. 100 come to the same bound, in 8.0 s."""
TOLERANCE_S = 1e-6
"""A row counts as broken by more than this: HiGHS calls a row kept that is broken by up to 1e-7 of its scale."""
ON_GRID = 1e-6
"""Of a step: a time this close to a multiple is one, whatever floats say."""


class Job(NamedTuple):
    """One request as the daemon's side sees it."""

    arrived_at: float
    """Seconds."""
    due_at: float
    """When a model must be done with it: its deadline at the client less its way back. May be `math.inf`."""
    weight: float = 1.0
    prompt_tokens: int = 0
    """For candidates that stream tokens."""


class Server(NamedTuple):
    """One candidate."""

    quality: float
    latency_s: tuple[float, ...]
    """Of batches of 1, 2, …"""
    instances: int = 1
    prefill_s: tuple[float, float] | None = None
    """Base and seconds for each prompt token, for a candidate that streams tokens: of those only the reading of prompts
    counts, which is one after the other.
    """


class Bracket(NamedTuple):
    """Where the optimum is."""

    lower: float
    """A schedule reaches this."""
    upper: float
    """None exceeds this."""


def jobs_and_servers(workload: Workload, trace: Trace) -> tuple[list[Job], list[Server]]:
    """What the bounds need, of one seed. Retries, expiry and the daemon's ignorance are left out: they only cost."""
    jobs = [
        Job(arrived_at, deadline_at - back_s, workload.classes[kind].traffic.weight, prompt)
        for arrived_at, deadline_at, back_s, kind, prompt in zip(
            trace.arrived_at, trace.deadline_at, trace.way_back_s, trace.kind, trace.prompt_tokens, strict=True
        )
    ]
    servers = []
    for candidate in workload.candidates:
        profile, factor = candidate.profile, 1.0
        for event in workload.events:
            if event.kind == "slow" and event.candidate == candidate.model:
                factor *= min(1.0, event.factor)
        latency = tuple(profile.at(batch) * factor for batch in range(1, profile.max_batch + 1))
        if profile.tokens is None:
            servers.append(Server(candidate.quality, latency, profile.instances))
        else:
            prefill = profile.tokens.prefill_base_s * factor, profile.tokens.prefill_s_per_token * factor
            servers.append(Server(candidate.quality, latency, 1, prefill))
    return jobs, servers


def best_score(workload: Workload, trace: Trace) -> float:
    """The relaxed bound on the same scale as `Result.score`."""
    jobs, servers = jobs_and_servers(workload, trace)
    worth = sum(job.weight for job in jobs) * workload.best_quality
    return min(1.0, relaxed(jobs, servers) / worth) if worth else 0.0


def relaxed(jobs: Sequence[Job], servers: Sequence[Server], *, stretch: int = STRETCH, rounds: int = ROUNDS) -> float:
    """An upper bound of the weighted quality that any policy earns. Time grows with the number of stretches."""
    ordered = sorted(jobs)
    if not ordered or not servers:
        return 0.0
    released = np.array([job.arrived_at for job in ordered])
    due = np.array([job.due_at for job in ordered])
    work = np.array([_least_work(ordered, released, due, server) for server in servers])
    pieces = math.ceil(len(ordered) / stretch)
    total = 0.0
    for places in np.array_split(np.arange(len(ordered)), pieces):
        worth = np.array([[server.quality * ordered[place].weight for place in places] for server in servers])
        instances = np.array([server.instances for server in servers])
        total += _stretch(released[places], due[places], work[:, places], worth, instances, rounds)
    return total


def _least_work(jobs: Sequence[Job], released: Floats, due: Floats, server: Server) -> Floats:
    """Seconds of an instance that each job takes at least; infinite if it can't be in time there."""
    if server.prefill_s is not None:
        base_s, token_s = server.prefill_s
        work = np.array([base_s + token_s * job.prompt_tokens for job in jobs])
        return np.where(released + work <= due + TOLERANCE_S, work, np.inf)
    work = np.full(len(jobs), np.inf)
    for batch, latency in enumerate(_at_least(server.latency_s), 1):
        latest = due - latency + TOLERANCE_S
        possible = latest >= released
        # How many could be together in a batch that starts at a release: the number is greatest at one of those.
        begun = np.searchsorted(np.sort(released[possible]), released, side="right")
        gone = np.searchsorted(np.sort(latest[possible]), released, side="left")
        enough = np.concatenate([[0], np.cumsum(begun - gone >= batch)])
        first = np.searchsorted(released, released, side="left")
        after = np.searchsorted(released, latest, side="right")
        member = possible & (enough[np.maximum(after, first)] > enough[first])
        work = np.where(member, np.minimum(work, latency / batch), work)
    return work


def _at_least(latency_s: Sequence[float]) -> list[float]:
    """Latencies with those members left out that are late: never above that of a larger batch."""
    least = list(latency_s)
    for place in range(len(least) - 2, -1, -1):
        least[place] = min(least[place], least[place + 1])
    return least


def _stretch(released: Floats, due: Floats, work: Floats, worth: Floats, instances: Floats, rounds: int) -> float:
    """The programme of one stretch. Columns are pairs of a server and a job that can be in time there."""
    server_of, job_of = np.nonzero(np.isfinite(work))
    if not len(job_of):
        return 0.0
    columns = len(job_of)
    seconds, value = work[server_of, job_of], worth[server_of, job_of]
    once = csr_array((np.ones(columns), (job_of, np.arange(columns))), shape=(len(released), columns))
    rows, limits = [once], [np.ones(len(released))]
    starts, ends = np.unique(released), np.unique(due[np.isfinite(due)])
    start_of, end_of = np.searchsorted(starts, released)[job_of], np.searchsorted(ends, due)[job_of]
    bound = math.inf
    for _ in range(rounds):
        found = linprog(-value, A_ub=vstack(rows, format="csr"), b_ub=np.concatenate(limits), bounds=(0, 1))
        if not found.success:
            break
        bound = -float(found.fun)
        row_start: list[int] = []
        row_end: list[int] = []
        row_server: list[int] = []
        if not len(ends):
            break
        for server in range(len(work)):
            own = (server_of == server) & (end_of < len(ends))
            inside = np.zeros((len(starts) + 1, len(ends)))
            np.add.at(inside, (start_of[own], end_of[own]), seconds[own] * found.x[own])
            inside = np.cumsum(np.cumsum(inside[::-1], axis=0)[::-1], axis=1)[:-1]
            excess = inside - instances[server] * np.maximum(ends[None, :] - starts[:, None], 0.0)
            end = excess.argmax(axis=1)
            most = excess[np.arange(len(starts)), end]
            broken = np.argsort(-most, kind="stable")[:ROWS]
            broken = broken[most[broken] > TOLERANCE_S]
            row_start += broken.tolist()
            row_end += end[broken].tolist()
            row_server += [server] * len(broken)
        if not row_start:
            break
        start, end, server_row = np.array(row_start), np.array(row_end), np.array(row_server)
        member = (start_of[None, :] >= start[:, None]) & (end_of[None, :] <= end[:, None])
        member &= server_of[None, :] == server_row[:, None]
        rows.append(csr_array(member * seconds[None, :]))
        limits.append(instances[server_row] * (ends[end] - starts[start]))
    if math.isinf(bound):
        # Without a solution all there is to say: every job at its best server.
        best = np.zeros(len(released))
        np.maximum.at(best, job_of, value)
        bound = float(best.sum())
    return bound


def exact(jobs: Sequence[Job], servers: Sequence[Server], *, step_s: float, limit_s: float = 60.0) -> Bracket:
    """The optimum between two values: the same if all times are multiples of `step_s` and `limit_s` seconds suffice.

    For batches of whole answers; raises ValueError for servers that stream tokens, for due times that are infinite and
    for a step longer than a batch takes.
    """
    if any(server.prefill_s is not None for server in servers) or any(math.isinf(job.due_at) for job in jobs):
        raise ValueError("the integer programme is for whole answers that are due at some time")
    if any(min(server.latency_s) < step_s * (1 - ON_GRID) for server in servers):
        raise ValueError(f"a batch takes less than the step of {step_s} s")
    upper = _programme(jobs, servers, step_s, limit_s, up=False)[1]
    lower = _programme(jobs, servers, step_s, limit_s, up=True)[0]
    return Bracket(lower, min(upper, relaxed(jobs, servers, stretch=max(1, len(jobs)))))


class _Columns:
    """The integer programme as it grows: coefficients by row and column."""

    def __init__(self) -> None:
        self.value: list[float] = []
        self.largest: list[float] = []
        self.whole: list[int] = []
        self.entries: list[tuple[int, int, float]] = []
        self.limits: list[float] = []

    def column(self, value: float, largest: float, *, whole: bool) -> int:
        self.value.append(value)
        self.largest.append(largest)
        self.whole.append(int(whole))
        return len(self.value) - 1

    def row(self, limit: float, entries: Sequence[tuple[int, float]]) -> None:
        self.entries += [(len(self.limits), column, coefficient) for column, coefficient in entries]
        self.limits.append(limit)

    def solved(self, limit_s: float) -> tuple[float, float]:
        """What its best solution is worth and what none exceeds."""
        if not self.value:
            return 0.0, 0.0
        row, column, coefficient = zip(*self.entries, strict=True)
        matrix = coo_array((coefficient, (row, column)), shape=(len(self.limits), len(self.value)))
        found = milp(
            -np.array(self.value),
            integrality=np.array(self.whole),
            bounds=Bounds(0, np.array(self.largest)),
            constraints=LinearConstraint(matrix.tocsr(), -np.inf, np.array(self.limits)),
            options={"time_limit": limit_s, "mip_rel_gap": 1e-6},
        )
        lower = 0.0 if found.x is None else float(np.dot(self.value, found.x))
        dual = found.mip_dual_bound
        return lower, math.inf if dual is None else max(lower, -float(dual))


def _programme(
    jobs: Sequence[Job], servers: Sequence[Server], step_s: float, limit_s: float, *, up: bool
) -> tuple[float, float]:
    """Value of the best schedule found on the grid, and what none on the grid exceeds."""
    spans = [(_steps(job.arrived_at, step_s, up=up), _steps(job.due_at, step_s, up=False)) for job in jobs]
    programme = _Columns()
    served: list[list[tuple[int, float]]] = [[] for _ in jobs]
    for server in servers:
        taken = [_steps(seconds, step_s, up=up) for seconds in _at_least(server.latency_s)]
        members: dict[int, list[tuple[int, int]]] = {}
        for place, (first, due) in enumerate(spans):
            for start in range(first, due - taken[0] + 1):
                column = programme.column(server.quality * jobs[place].weight, 1.0, whole=False)
                served[place].append((column, 1.0))
                members.setdefault(start, []).append((due, column))
        busy: dict[int, list[tuple[int, float]]] = {}
        for start, there in members.items():
            _batches_at(programme, start, there, taken, server.instances, busy)
        for entries in busy.values():
            programme.row(server.instances, entries)
    for entries in served:
        if entries:
            programme.row(1.0, entries)
    return programme.solved(limit_s)


def _batches_at(
    programme: _Columns,
    start: int,
    there: Sequence[tuple[int, int]],
    taken: Sequence[int],
    instances: int,
    busy: dict[int, list[tuple[int, float]]],
) -> None:
    """The batches that may start at one server at one time, and which of those there they have room for."""
    batches = []
    for size, steps in enumerate(taken[: len(there)], 1):
        column = programme.column(0.0, instances, whole=True)
        batches.append((size, start + steps, column))
        for step in range(start, start + steps):
            busy.setdefault(step, []).append((column, 1.0))
    # Those due by a time are served by batches that end by then; who is due earlier can use fewer batches, so that one
    # row for each number of batches says it for all. And one row for each member, or a tenth of a batch of ten would
    # serve one alone.
    latest: dict[int, int] = {}
    for due, _ in there:
        usable = sum(ends <= due for _, ends, _ in batches)
        latest[usable] = max(due, latest.get(usable, due))
    for usable, due in latest.items():
        room = [(column, -float(size)) for size, _, column in batches[:usable]]
        programme.row(0.0, [*((column, 1.0) for other, column in there if other <= due), *room])
    for due, member in there:
        programme.row(0.0, [(member, 1.0), *((column, -1.0) for _, ends, column in batches if ends <= due)])


def _steps(seconds: float, step_s: float, *, up: bool) -> int:
    steps = seconds / step_s
    return math.ceil(steps - ON_GRID) if up else math.floor(steps + ON_GRID)
