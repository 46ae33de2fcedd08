from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence

import pytest
from scipy.optimize import OptimizeResult  # type: ignore[import-untyped]

from ops.bench.bound import Bound, Path, Request, on_time_bound, proved
from policies.scheduling.registry import make_scheduler
from policies.scheduling.simulator import Job, simulate

SLOW = Path(rate_bytes_s=1000.0, delay_s=0.0)
LINK = Path(rate_bytes_s=625_000.0, delay_s=0.05)


def preemptive(messages: Sequence[tuple[float, float, float]]) -> bool:
    """Whether all are in time by interruption: earliest due first, from one release or finish to the next."""
    left = {index: work for index, (_, _, work) in enumerate(messages)}
    now = 0.0
    while left:
        ready = [index for index in left if messages[index][0] <= now + 1e-12]
        coming = [messages[index][0] for index in left if messages[index][0] > now + 1e-12]
        if not ready:
            now = min(coming)
            continue
        turn = min(ready, key=lambda index: messages[index][1])
        until = min([now + left[turn], *coming])
        left[turn] -= until - now
        now = until
        if left[turn] <= 1e-12:
            del left[turn]
            if now > messages[turn][1] + 1e-9:
                return False
    return True


def best_choice(requests: Sequence[Request], path: Path) -> float:
    """Of all choices that fit in both directions, each of which is tried, the weight of the heaviest."""
    best = 0.0
    for picks in itertools.product((False, True), repeat=len(requests)):
        kept = [request for request, pick in zip(requests, picks, strict=True) if pick]
        weight = sum(request.weight for request in kept)
        if weight <= best:
            continue
        up, down = [], []
        for request in kept:
            up_s, down_s = path.time_s(request.up_bytes), path.time_s(request.down_bytes)
            back_by = request.deadline - path.delay_s
            up.append((request.arrived_at, back_by - down_s - path.delay_s - request.service_s, up_s))
            down.append((request.arrived_at + up_s + path.delay_s + request.service_s, back_by, down_s))
        if preemptive(up) and preemptive(down):
            best = weight
    return best


def draw(seed: int, count: int) -> list[Request]:
    rng = random.Random(seed)
    requests = []
    for _ in range(count):
        at = rng.randint(0, 20) / 4
        up, down = rng.choice((100, 500, 1500)), rng.choice((100, 500, 1500))
        weight = rng.choice((1.0, 2.0, 5.0))
        requests.append(Request(at, up, down, at + rng.randint(2, 20) / 4, weight, rng.choice((0.0, 0.25))))
    return requests


@pytest.mark.parametrize("seed", range(25))
def test_it_is_the_best_of_all_choices(seed: int) -> None:
    path = Path(1000.0, 0.125 * (seed % 3))
    requests = draw(seed, 8)
    bound = on_time_bound(requests, path)
    assert bound.tight
    assert bound.weight == pytest.approx(best_choice(requests, path))


def test_these_cases_are_not_all_alike() -> None:
    shares = [on_time_bound(draw(seed, 8), SLOW).share for seed in range(25)]
    assert min(shares) < 0.5
    assert len({round(share, 3) for share in shares}) > 10


def test_no_requests() -> None:
    assert on_time_bound([], SLOW) == Bound(0.0, 0.0, tight=True)
    assert on_time_bound([], SLOW).share == 1.0


def test_what_is_impossible_alone_counts_for_nothing() -> None:
    requests = [Request(0.0, 1000, 0, 0.9, weight=3.0), Request(0.0, 0, 1000, 0.9), Request(0.0, 400, 400, 0.9)]
    assert on_time_bound(requests, SLOW) == Bound(1.0, 5.0, tight=True)


@pytest.mark.parametrize(("delay_s", "weight"), [(0.24, 1.0), (0.26, 0.0)])
def test_both_delays_and_both_messages_count(delay_s: float, weight: float) -> None:
    assert on_time_bound([Request(5.0, 250, 250, 6.0)], Path(1000.0, delay_s)).weight == weight


def test_a_request_must_be_up_in_time_for_its_answer() -> None:
    requests = [Request(0.0, 1000, 500, 2.2), Request(0.0, 1000, 500, 2.2)]
    assert on_time_bound(requests, SLOW).weight == 1.0


def test_an_answer_begins_after_the_service() -> None:
    requests = [Request(0.0, 100, 1000, 2.5, service_s=service_s) for service_s in (1.0, 1.0)]
    assert on_time_bound(requests, SLOW).weight == 1.0
    assert on_time_bound([request._replace(service_s=0.0) for request in requests], SLOW).weight == 2.0


def test_interruption_is_allowed() -> None:
    """The long one is sent before and after the short one."""
    requests = [Request(0.0, 2000, 0, 2.5), Request(1.0, 500, 0, 1.5)]
    assert on_time_bound(requests, SLOW) == Bound(2.0, 2.0, tight=True)


def test_headers_take_their_time() -> None:
    path = Path(1000.0, 0.0, payload_bytes=100, overhead_bytes=10)
    assert [path.time_s(size) for size in (0, 1, 100, 101)] == [0.0, 0.011, 0.11, 0.121]
    requests = [Request(0.0, 500, 0, 1.0), Request(0.0, 500, 0, 1.0)]
    assert on_time_bound(requests, SLOW).weight == 2.0
    assert on_time_bound(requests, path).weight == 1.0


def echoes(count: int, *, load: float, seed: int) -> list[Request]:
    """The poster's classes."""
    rng = random.Random(seed)
    at = 0.0
    requests = []
    for _ in range(count):
        size, deadline_s, weight = rng.choice(((8192, 1.0, 2.0), (8192, 2.0, 1.0), (102_400, 7.0, 1.0)))
        at += rng.expovariate(load * 625_000 * 3 / (8192 * 2 + 102_400))
        requests.append(Request(at, size, size, at + deadline_s, weight))
    return requests


@pytest.mark.parametrize("load", [0.5, 1.0, 2.0])
def test_eighty_requests_of_the_poster_fit_at_any_load(load: float) -> None:
    """3.2 MB take 5.1 s, and what is long may take 7."""
    requests = echoes(80, load=load, seed=1)
    total = sum(request.weight for request in requests)
    assert on_time_bound(requests, LINK) == Bound(total, total, tight=True)


@pytest.mark.slow
@pytest.mark.parametrize("load", [0.8, 1.5, 2.5])
@pytest.mark.parametrize("name", ["edf", "adaptive"])
def test_no_scheduler_exceeds_it_and_where_all_is_on_time_edf_reaches_it(load: float, name: str) -> None:
    requests = [request._replace(down_bytes=0) for request in echoes(200, load=load, seed=2)]
    bound = on_time_bound(requests, LINK)
    # The answers of no bytes take the way back and nothing else.
    jobs = [Job(request.arrived_at, request.up_bytes, request.deadline - 0.05, request.weight) for request in requests]
    finishes = simulate(make_scheduler(name), jobs, rate=625_000.0, delay_s=0.05)
    reached = sum(finish.job.weight for finish in finishes if finish.on_time)
    assert reached <= bound.weight + 1e-6
    if load < 1:
        assert reached == bound.weight == bound.total
    elif name == "adaptive":
        assert reached >= 0.97 * bound.weight


class Hasty:
    """A clock that goes on by a second whenever somebody looks."""

    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        self._now += 1.0
        return self._now


@pytest.mark.slow
@pytest.mark.parametrize("looks", [0.0, 1.5, 2.5, 3.5, 5.5])
def test_out_of_time_it_is_what_was_proved_and_no_lower_than_the_optimum(looks: float) -> None:
    """Before the linear programme, within its rounds, and before the integer one."""
    requests = [request for seed in range(12) for request in draw(seed, 8)]
    optimum = on_time_bound(requests, SLOW)
    assert optimum.tight
    in_a_hurry = on_time_bound(requests, SLOW, time_limit_s=looks, clock=Hasty())
    assert not in_a_hurry.tight
    assert in_a_hurry.total > in_a_hurry.weight >= optimum.weight


def test_a_solution_is_no_bound_before_it_is_the_best() -> None:
    """The solver minimises what is lost, so that its figures are negative."""
    assert proved(OptimizeResult(status=0, fun=-5.0, mip_dual_bound=-5.0)) == 5.0
    assert proved(OptimizeResult(status=1, fun=-5.0, mip_dual_bound=-7.0)) == 7.0
    assert proved(OptimizeResult(status=1, fun=None, mip_dual_bound=None)) == math.inf
