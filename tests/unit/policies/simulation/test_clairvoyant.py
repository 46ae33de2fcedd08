from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations
from pathlib import Path

import pytest

from policies.profile import Profile, TokenProfile
from policies.selection.registry import POLICIES, make_policy
from policies.simulation.clairvoyant import Job, Server, best_score, exact, jobs_and_servers, relaxed
from policies.simulation.run import run
from policies.simulation.trace import draw
from policies.simulation.workload import Event, Workload
from policies.simulation.workload_file import parse_workload

LARGE = Server(1.0, (4.0, 5.0))
SMALL = Server(0.5, (1.0, 2.0, 2.0))


def best_of_all(jobs: Sequence[Job], servers: Sequence[Server]) -> float:
    """Every schedule tried: whole times, one instance a server."""
    last = int(max(job.due_at for job in jobs))

    @cache
    def best(now: int, server: int, left: frozenset[int], free: tuple[int, ...]) -> float:
        if now > last:
            return 0.0
        if server == len(servers):
            return best(now + 1, 0, left, free)
        value = best(now, server + 1, left, free)
        if free[server] > now:
            return value
        there = [place for place in sorted(left) if jobs[place].arrived_at <= now]
        for size, seconds in enumerate(servers[server].latency_s, 1):
            for batch in combinations([place for place in there if now + seconds <= jobs[place].due_at], size):
                until = (*free[:server], now + int(seconds), *free[server + 1 :])
                earned = servers[server].quality * sum(jobs[place].weight for place in batch)
                value = max(value, earned + best(now, server + 1, left - set(batch), until))
        return value

    return best(0, 0, frozenset(range(len(jobs))), (0,) * len(servers))


def some_jobs(seed: int, count: int, *, spread: int, slack: int) -> list[Job]:
    draws = random.Random(seed)
    arrived = [draws.randint(0, spread) for _ in range(count)]
    return [Job(at, at + draws.randint(1, slack), draws.choice([1.0, 2.0])) for at in arrived]


@pytest.mark.parametrize("seed", range(12))
def test_on_small_cases_the_programme_is_every_schedule_tried(seed: int) -> None:
    jobs = some_jobs(seed, 6, spread=5, slack=8)
    best = best_of_all(jobs, [LARGE, SMALL])
    assert exact(jobs, [LARGE, SMALL], step_s=1.0) == pytest.approx((best, best))
    assert relaxed(jobs, [LARGE, SMALL]) >= best - 1e-6


def test_the_bracket_holds_the_optimum_on_any_grid() -> None:
    # Times in thirds of the step: the optimum is that on the grid of thirds.
    for seed in range(4):
        jobs = some_jobs(seed, 6, spread=15, slack=24)
        servers = [Server(1.0, (7.0, 8.0)), Server(0.5, (3.0, 4.0, 5.0))]
        best = exact(jobs, servers, step_s=1.0)
        lower, upper = exact(jobs, servers, step_s=3.0)
        assert best.lower == pytest.approx(best.upper)
        assert lower - 1e-6 <= best.lower <= upper + 1e-6


@pytest.mark.parametrize(
    ("jobs", "servers", "best"),
    [
        ([Job(0, 4)], [LARGE], 1.0),
        ([Job(0, 3.9)], [LARGE], 0.0),
        ([Job(0, 5), Job(0, 5), Job(0, 5)], [LARGE], 2.0),
        ([Job(0, 5), Job(0, 5), Job(0, 5)], [LARGE, SMALL], 2.5),
        ([Job(0, 4), Job(1, 5)], [LARGE], 1.0),  # no batch of both: it would end at 6
        ([Job(0, 4), Job(0, 4)], [Server(1.0, (4.0, 5.0), 2)], 2.0),
        ([Job(0, 4, 1.0), Job(0, 4, 3.0)], [LARGE], 3.0),
    ],
)
def test_cases_by_hand(jobs: list[Job], servers: list[Server], best: float) -> None:
    assert exact(jobs, servers, step_s=1.0) == pytest.approx((best, best))


def test_a_request_alone_cannot_take_a_part_of_a_large_batch() -> None:
    batches = Server(1.0, (1.0, 1.0, 1.0, 1.0))
    far_apart = [Job(2.0 * at, 2.0 * at + 1.0) for at in range(5)]
    assert relaxed(far_apart, [batches]) == pytest.approx(5.0)
    crowded = [Job(0.2 * at, 0.2 * at + 1.0) for at in range(5)]  # none covers another's second
    assert relaxed(crowded, [batches]) == pytest.approx(1.8)
    together = [Job(0.0, 1.0)] * 5
    assert relaxed(together, [batches]) == pytest.approx(4.0)


def test_stretches_never_lower_the_bound() -> None:
    jobs = some_jobs(3, 60, spread=40, slack=9)
    whole = relaxed(jobs, [LARGE, SMALL], stretch=60)
    assert whole <= relaxed(jobs, [LARGE, SMALL], stretch=20) + 1e-6
    assert whole <= relaxed(jobs, [LARGE, SMALL], stretch=60, rounds=1) + 1e-6


def test_without_deadlines_or_requests_there_is_nothing_to_lose() -> None:
    assert relaxed([], [LARGE]) == 0.0
    assert relaxed([Job(0, 9)], []) == 0.0
    assert relaxed([Job(0, math.inf)] * 3, [SMALL, LARGE]) == pytest.approx(3.0)


def test_prompts_are_read_one_after_the_other() -> None:
    streaming = Server(1.0, (9.0,), prefill_s=(0.1, 0.001))
    jobs = [Job(0.0, 1.0, prompt_tokens=300)] * 4  # 0.4 s each
    assert relaxed(jobs, [streaming]) == pytest.approx(2.5)
    assert relaxed([Job(0.0, 1.0, prompt_tokens=1000)], [streaming]) == 0.0


@pytest.mark.parametrize(
    ("jobs", "server", "step_s", "message"),
    [
        ([Job(0, math.inf)], LARGE, 1.0, "due at some time"),
        ([Job(0, 1)], Server(1.0, (9.0,), prefill_s=(0.1, 0.0)), 1.0, "whole answers"),
        ([Job(0, 1)], SMALL, 1.5, "less than the step"),
    ],
)
def test_what_the_programme_cannot_say_is_refused(jobs: list[Job], server: Server, step_s: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        exact(jobs, [server], step_s=step_s)


def workload(seed: int) -> Workload:
    draws = random.Random(seed)
    candidates = [
        {
            "model": f"m{place}",
            "quality": round(draws.uniform(0.3, 0.9), 2),
            "max_batch": 4,
            "instances": draws.choice([1, 2]),
            "latency": {1: (first := draws.uniform(0.05, 0.5)), 4: first * draws.uniform(1, 3)},
        }
        for place in range(draws.choice([1, 2, 3]))
    ]
    return parse_workload(
        {
            "name": "random",
            "seconds": 8,
            "arrivals": {"kind": "unpredictable", "rate": [2, 30], "hold": [0.5, 3]},
            "classes": {
                "realtime": {"share": 0.5, "deadline": 0.8, "weight": 2, "size": 100},
                "bulk": {"share": 0.5, "deadline": 2.0, "weight": 1, "size": 100},
            },
            "network": {"delay": 0.05},
            "candidates": candidates,
        },
        Path("random.yaml"),
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_no_policy_is_above_the_bound(seed: int) -> None:
    described = workload(seed)
    trace = draw(described, seed)
    bound = best_score(described, trace)
    scores = {name: run(described, make_policy(name), seed, trace=trace).score for name in POLICIES}
    assert 0 < max(scores.values()) <= bound + 1e-6, scores
    assert bound <= 1.0


def test_the_way_back_and_slow_downs_are_in_what_the_bounds_are_asked() -> None:
    described = workload(0)
    trace = draw(described, 0)
    jobs, servers = jobs_and_servers(described, trace)
    assert jobs[0].arrived_at == trace.arrived_at[0]
    assert jobs[0].due_at == pytest.approx(trace.deadline_at[0] - 0.05)
    name = described.candidates[0].model
    events = (Event(1.0, 2.0, "slow", name, 3.0), Event(1.0, 2.0, "slow", name, 0.5))
    faster = jobs_and_servers(replace(described, events=events), trace)[1]
    assert faster[0].latency_s == pytest.approx([seconds / 2 for seconds in servers[0].latency_s])
    assert faster[1:] == servers[1:]
    tokens = Profile(((1, 2.0),), tokens=TokenProfile(0.001, 0.1, ((1, 0.01),), 1))
    streaming = replace(described, candidates=(replace(described.candidates[0], profile=tokens),))
    assert jobs_and_servers(streaming, trace)[1][0].prefill_s == (0.1, 0.001)
