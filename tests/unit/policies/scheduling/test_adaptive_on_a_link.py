"""`adaptive` against `edf` on the same arrivals.

The margin everywhere: on no arrivals less weight on time than `edf` has by more than the weightiest request; on the
average of a load never less; past the link's rate more, by as much as each test says.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

import pytest

from policies.scheduling.base import PathEstimate
from policies.scheduling.registry import make_scheduler
from policies.scheduling.simulator import Estimate, Job, Rate, simulate, weighted_on_time

RATE = 625_000.0
"""5 Mbit/s."""
DELAY_S = 0.05
RTT_S = 2 * DELAY_S


class Kind(NamedTuple):
    size_bytes: int
    deadline_s: float
    weight: float
    share: float = 1.0
    piece_bytes: int = 0


POSTER = (Kind(8192, 1.0, 2.0), Kind(8192, 2.0, 1.0), Kind(102_400, 7.0, 1.0))


def arrivals(kinds: Sequence[Kind], *, load: float, count: int, seed: int) -> list[Job]:
    """Poisson at a share of the link's rate; a load of 0 is all at once."""
    rng = random.Random(seed)
    shares = [kind.share for kind in kinds]
    mean_bytes = sum(kind.size_bytes * kind.share for kind in kinds) / sum(shares)
    jobs = []
    at = 0.0
    for kind in rng.choices(kinds, shares, k=count):
        if load:
            at += rng.expovariate(load * RATE / mean_bytes)
        jobs.append(Job(at, kind.size_bytes, at + kind.deadline_s, kind.weight, piece_bytes=kind.piece_bytes))
    return jobs


def mix(seed: int) -> list[Kind]:
    """Two to five classes of any size from 2 to 200 kB, deadline from half a second to eight, and weight."""
    rng = random.Random(1000 + seed)
    return [
        Kind(
            round(10 ** rng.uniform(3.3, 5.3)),
            10 ** rng.uniform(-0.3, 0.9),
            rng.choice((0.5, 1.0, 1.0, 2.0, 3.0, 5.0, 10.0)),
            rng.uniform(0.2, 1.0),
        )
        for _ in range(rng.randint(2, 5))
    ]


def constant(factor: float) -> Estimate:
    return lambda now: PathEstimate(factor * RATE, RTT_S, DELAY_S)


def noisy(seed: int) -> Estimate:
    """Another error of up to a fifth in each round trip."""
    return lambda now: PathEstimate(RATE * random.Random(f"{seed}/{now // RTT_S}").uniform(0.8, 1.2), RTT_S, DELAY_S)


def on_time(name: str, jobs: Sequence[Job], *, estimate: Estimate | None = None, rate: float | Rate = RATE) -> float:
    return weighted_on_time(simulate(make_scheduler(name), jobs, rate=rate, delay_s=DELAY_S, estimate=estimate))


def gain(
    workloads: Sequence[Sequence[Job]],
    *,
    estimates: Sequence[Estimate] = (constant(1.0),),
    rate: float | Rate = RATE,
) -> float:
    """The mean gain over `edf`, after seeing that on no arrivals it is a loss of more than one request."""
    gains = []
    for jobs in workloads:
        edf = on_time("edf", jobs, rate=rate)
        one_request = max(job.weight for job in jobs) / sum(job.weight for job in jobs)
        for estimate in estimates:
            adaptive = on_time("adaptive", jobs, estimate=estimate, rate=rate)
            assert adaptive >= edf - one_request - 1e-9
            gains.append(adaptive - edf)
    assert fmean(gains) >= 0.0
    return fmean(gains)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("load", "least"), [(0.5, 0.0), (0.8, 0.0), (1.0, 0.0), (1.2, 0.0), (1.5, 0.0), (2.0, 0.01), (4.0, 0.025)]
)
def test_the_poster_s_classes(load: float, least: float) -> None:
    workloads = [arrivals(POSTER, load=load, count=240, seed=seed) for seed in range(4)]
    assert gain(workloads) >= least


@pytest.mark.slow
@pytest.mark.parametrize(
    ("load", "least"), [(0.5, 0.0), (0.8, 0.0), (1.0, 0.0), (1.25, 0.01), (1.5, 0.05), (2.0, 0.1), (4.0, 0.15)]
)
def test_mixes_of_classes(load: float, least: float) -> None:
    workloads = [arrivals(mix(seed), load=load, count=100, seed=seed) for seed in range(8)]
    assert gain(workloads) >= least


@pytest.mark.slow
@pytest.mark.parametrize("load", [0.7, 1.0, 1.5, 2.0])
def test_estimates_that_are_wrong_by_a_fifth(load: float) -> None:
    workloads = [arrivals(mix(seed), load=load, count=100, seed=seed) for seed in range(8)]
    gain(workloads, estimates=(constant(0.8), constant(1.2), noisy(1)))


@pytest.mark.slow
@pytest.mark.parametrize("load", [0.8, 2.0])
def test_estimates_that_are_wrong_by_far(load: float) -> None:
    """As of a link that had little to carry, or has just become slower."""
    workloads = [arrivals(mix(seed), load=load, count=100, seed=seed) for seed in range(4)]
    workloads += [arrivals(POSTER, load=load, count=160, seed=1), arrivals(mix(1), load=0.0, count=60, seed=1)]
    gain(workloads, estimates=(constant(0.1), constant(0.3), constant(3.0)))


@pytest.mark.slow
def test_all_at_once() -> None:
    """Where `edf` is as good as it gets, and 300 where it is not."""
    assert gain([arrivals(POSTER, load=0.0, count=80, seed=seed) for seed in range(3)]) == 0.0
    assert gain([arrivals(POSTER, load=0.0, count=300, seed=seed) for seed in range(3)]) > 0.005
    assert gain([arrivals(mix(seed), load=0.0, count=60, seed=seed) for seed in range(16)]) > 0.02


@pytest.mark.slow
def test_one_size_and_many_weights() -> None:
    """Which of those that look the same are dropped is all that counts."""
    kinds = [Kind(20_000, 1.5, weight) for weight in (1.0, 2.0, 5.0)]
    assert gain([arrivals(kinds, load=1.5, count=200, seed=seed) for seed in range(4)]) > 0.1


@pytest.mark.slow
def test_messages_whose_size_shows_as_they_are_written() -> None:
    kinds = [kind._replace(piece_bytes=16_384) for kind in POSTER]
    for load in (0.8, 2.0, 4.0):
        gain([arrivals(kinds, load=load, count=160, seed=seed) for seed in range(4)])


@pytest.mark.slow
def test_a_link_that_loses_half_its_rate_and_gets_it_back() -> None:
    def rate(now: float) -> float:
        return RATE / 2 if 3.0 <= now < 8.0 else RATE

    def heard(now: float) -> PathEstimate:
        """What was true two round trips before."""
        return PathEstimate(rate(now - 2 * RTT_S), RTT_S, DELAY_S)

    for load in (0.8, 1.2):
        workloads = [arrivals(mix(seed), load=load, count=120, seed=seed) for seed in range(8)]
        gain(workloads, estimates=(heard,), rate=rate)
