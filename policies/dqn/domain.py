"""Workloads to train on: everything about them is drawn, so that what is learnt holds for models and traffic not seen.

Two thirds have candidates of the usual kind (a few language models, each smaller one about three times as fast),
jittered; a seventh streams tokens; the others draw latencies, batches and qualities freely. The highest rate is drawn
in relation to what the candidates can answer, from a twelfth of it to one and a fifth, of a flash crowd to one and a
half. None of the shipped workloads is among them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from policies.profile import Profile, TokenProfile
from policies.scheduling.registry import SCHEDULERS
from policies.simulation.arrivals import Arrivals, Diurnal, Flash, Mmpp, Stable, Unpredictable
from policies.simulation.distribution import Constant, Distribution, Lognormal, Uniform
from policies.simulation.trace import BITS
from policies.simulation.workload import (
    Event,
    MixShift,
    Network,
    RequestClass,
    SimulatedCandidate,
    Workload,
)
from policies.traffic import TrafficClass

Generator = np.random.Generator

Z_P95 = 1.645
"""95th percentile of the standard normal."""


@dataclass(frozen=True, slots=True)
class DomainSettings:
    """How far workloads differ."""

    seconds: float = 90.0
    """Of one episode at most: with 60, the decisions at low rates were too few to learn from."""
    requests: float = 1500.0
    """In one episode at most, roughly, but `SHORTEST_S` are played: else most decisions would be of high rates."""
    candidates: tuple[int, int] = (1, 6)
    """How many, at least and at most."""
    few: float = 0.35
    """Share of workloads with two or three candidates, beside those that the draw of a number gives: most routes."""
    streams: float = 0.15
    """Share of workloads with token streams."""
    usual: float = 0.75
    """Share of the others whose candidates are of the usual kind, and share of the usual deadlines."""
    events: float = 0.2
    """Share with failures, slow-downs or a network that gets slower."""
    shared_links: float = 0.0
    """Share of workloads whose requests wait for each other on a link, so that they come with what it leaves them."""
    answer_tokens: tuple[float, float] = (30.0, 200.0)
    """Median length of a class's answers, where they are token streams."""
    top_rate: float = 250.0
    """Requests a second at most: an episode of more costs more decisions and teaches nothing else."""


STREAMING = DomainSettings(streams=1.0, shared_links=0.5, answer_tokens=(10.0, 200.0))
"""What routes are like whose candidates all stream tokens."""

SHORTEST_S = 15.0
"""Long enough for queues to fill and to drain."""


class Domain:
    """Draws workloads; an environment's `source`. With `candidates`, only what is sent to them is drawn."""

    def __init__(self, settings: DomainSettings | None = None, candidates: Sequence[SimulatedCandidate] = ()) -> None:
        self._settings = settings or DomainSettings()
        self._candidates = tuple(candidates)

    def __call__(self, generator: Generator) -> Workload:
        """A workload."""
        settings, candidates = self._settings, self._candidates
        streaming = _happens(generator, settings.streams)
        least, most = settings.candidates
        if _happens(generator, settings.few):
            least, most = max(least, min(2, most)), max(least, min(3, most))
        count = int(generator.integers(least, most + 1))
        if candidates:
            streaming = candidates[0].profile.tokens is not None
        elif streaming:
            candidates = _stream_candidates(generator, count)
        elif _happens(generator, settings.usual):
            candidates = _usual_candidates(generator, min(count, len(USUAL)))
        else:
            candidates = _any_candidates(generator, count)
        classes = _classes(generator, candidates, settings, streaming=streaming)
        capacity = sum(_rate(candidate.profile, classes) for candidate in candidates)
        high = min(capacity * _log_uniform(generator, 0.08, 1.2), settings.top_rate)
        seconds = min(settings.seconds, max(SHORTEST_S, settings.requests / high))
        network = _network(generator, min(kind.traffic.deadline_s for kind in classes))
        workload = Workload(
            name="drawn",
            seconds=seconds,
            arrivals=_arrivals(generator, high, seconds, streaming=streaming),
            classes=classes,
            network=network,
            candidates=candidates,
            events=_events(generator, candidates, settings.events, seconds),
            mix=_mix(generator, classes, seconds),
        )
        # Last, so that without such links the other draws are what they were.
        if settings.shared_links and _happens(generator, settings.shared_links):
            workload = replace(workload, network=_shared(generator, network, high * _mean_bits(generator, classes)))
        return workload


USUAL = (
    (0.71, 0.45, 0.80, 8),
    (0.62, 0.15, 0.29, 8),
    (0.48, 0.046, 0.136, 16),
    (0.80, 0.9, 1.2, 4),
    (0.35, 0.012, 0.06, 32),
)
"""Quality, seconds alone, seconds for the largest batch, that batch: the orders of magnitude of the poster's models."""


def _usual_candidates(generator: Generator, count: int) -> tuple[SimulatedCandidate, ...]:
    chosen = range(3) if count == 3 else sorted(generator.choice(len(USUAL), count, replace=False).tolist())  # noqa: PLR2004
    faster = _log_uniform(generator, 0.8, 1.25)
    made = []
    for place in chosen:
        quality, alone_s, full_s, largest = USUAL[place]
        alone_s *= faster * _log_uniform(generator, 0.8, 1.25)
        full_s = alone_s * max(1.0, full_s / USUAL[place][1] * _log_uniform(generator, 0.8, 1.25))
        profile = _batching(generator, alone_s, full_s, largest, instances=1 + _happens(generator, 0.15))
        made.append(SimulatedCandidate(f"model-{place}", min(1.0, quality * generator.uniform(0.93, 1.07)), profile))
    return tuple(made)


def _any_candidates(generator: Generator, count: int) -> tuple[SimulatedCandidate, ...]:
    alone_s = _log_uniform(generator, 0.15, 1.2)
    quality = generator.uniform(0.6, 1.0)
    made = []
    for place in range(count):
        largest = int(generator.choice([1, 2, 4, 8, 16, 32], p=[0.06, 0.08, 0.2, 0.33, 0.23, 0.1]))
        growth = 1 + generator.uniform(0.02, 0.35) * (largest - 1) ** generator.uniform(0.6, 1.0)
        instances = int(generator.choice([1, 2, 4], p=[0.75, 0.2, 0.05]))
        profile = _batching(generator, alone_s, alone_s * growth, largest, instances=instances)
        made.append(SimulatedCandidate(f"model-{place}", max(0.05, quality), profile))
        alone_s = max(0.004, alone_s * _log_uniform(generator, 0.15, 0.8))
        quality *= generator.uniform(0.6, 1.02)
    return tuple(made[place] for place in generator.permutation(count).tolist())


def _batching(generator: Generator, alone_s: float, full_s: float, largest: int, *, instances: int) -> Profile:
    deviation = float(generator.choice([0.02, 0.05, 0.1, 0.2], p=[0.2, 0.5, 0.2, 0.1]))
    latency = [(1, alone_s)]
    size = 2
    while size < largest:
        latency.append((size, alone_s + (full_s - alone_s) * (size - 1) / (largest - 1)))
        size *= 2
    if largest > 1:
        latency.append((largest, max(full_s, alone_s)))
    delayed = _happens(generator, 0.15) and largest > 1
    return Profile(
        tuple(latency),
        deviation=deviation,
        p95_over_p50=_p95(deviation),
        instances=instances,
        batch_delay_s=generator.uniform(0.005, 0.1) * alone_s if delayed else 0.0,
    )


def _p95(deviation: float) -> float:
    return math.exp(Z_P95 * math.sqrt(math.log1p(deviation**2)))


def _stream_candidates(generator: Generator, count: int) -> tuple[SimulatedCandidate, ...]:
    step_s = _log_uniform(generator, 0.012, 0.05)
    quality = generator.uniform(0.6, 1.0)
    made = []
    for place in range(count):
        largest = int(generator.choice([4, 8, 16, 32, 64]))
        full_s = step_s * generator.uniform(1.1, 2.2)
        tokens = TokenProfile(
            prefill_s_per_token=step_s * _log_uniform(generator, 0.003, 0.012),
            prefill_base_s=step_s * generator.uniform(0.3, 1.5),
            step_s=((1, step_s), (largest, full_s)),
            max_sequences=largest,
        )
        profile = Profile(
            ((1, step_s * generator.uniform(80, 120)),), deviation=0.05, p95_over_p50=_p95(0.05), tokens=tokens
        )
        made.append(SimulatedCandidate(f"model-{place}", max(0.05, quality), profile))
        step_s = max(0.003, step_s * generator.uniform(0.3, 0.8))
        quality *= generator.uniform(0.6, 1.02)
    return tuple(made)


def _classes(
    generator: Generator, candidates: tuple[SimulatedCandidate, ...], settings: DomainSettings, *, streaming: bool
) -> tuple[RequestClass, ...]:
    """Two to four classes, deadlines from what the fastest can just make to far more than the slowest takes."""
    count = int(generator.choice([1, 2, 3, 4], p=[0.1, 0.2, 0.55, 0.15]))
    if _happens(generator, settings.usual):
        deadlines = [1.0, 2.0, 7.0, 15.0][:count]
        scale = _log_uniform(generator, 0.7, 1.4)
        deadlines = [deadline * scale for deadline in deadlines]
    else:
        profiles = [candidate.profile for candidate in candidates]
        firsts = [_first_s(profile) for profile in profiles]
        deadlines = sorted(
            _log_uniform(generator, 2.5 * min(firsts), 12 * max(firsts)) + generator.uniform(0.05, 0.3)
            for _ in range(count)
        )
    heavy = float(generator.choice([1.0, 2.0, 3.0, 5.0], p=[0.2, 0.5, 0.2, 0.1]))
    weights = [heavy, *([1.0] * (count - 1))]
    if _happens(generator, 0.25):
        weights = generator.permutation(weights).tolist()
    shares = generator.dirichlet([2.0] * count).tolist()
    made = []
    for place, (deadline, weight, share) in enumerate(zip(deadlines, weights, shares, strict=True)):
        long = place == count - 1 and count > 2  # noqa: PLR2004
        traffic = TrafficClass(
            f"class-{place}",
            float(deadline),
            token_deadline_s=generator.uniform(0.3, 2.5) if streaming else math.inf,
            priority=place,
            level="low" if place else "high",
            weight=weight,
            on_miss="fail" if _happens(generator, 0.15) else "deliver",
        )
        low = _log_uniform(generator, 300, 1000) if long else _log_uniform(generator, 20, 200)
        described = RequestClass(
            traffic,
            share=share + 0.02,
            size=Constant(
                _log_uniform(generator, 1e3, 3e5) if _happens(generator, 0.4) else (102400 if long else 8192)
            ),
            prompt_tokens=Uniform(low, low * generator.uniform(1.5, 6)) if streaming else Constant(0.0),
            answer_tokens=Lognormal(_log_uniform(generator, *settings.answer_tokens), 0.6) if streaming else None,
        )
        made.append(described)
    return tuple(made)


def _first_s(profile: Profile) -> float:
    """Seconds until an answer, or the first message of it, with nobody else there."""
    return profile.at(1) if profile.tokens is None else profile.tokens.prefill(200)


def _rate(profile: Profile, classes: tuple[RequestClass, ...]) -> float:
    """Requests a second that it can answer, roughly, with the batches that the deadlines leave time for."""
    if profile.tokens is not None:
        answers = sum(kind.share * getattr(kind.answer_tokens, "median", 60.0) for kind in classes)
        mean = answers / sum(kind.share for kind in classes) * 1.2
        largest = profile.tokens.max_sequences
        return 0.6 * largest / profile.tokens.step(largest) / mean
    longest = max(kind.traffic.deadline_s for kind in classes)
    sizes = [size for size in range(1, profile.max_batch + 1) if profile.at(size) < longest]
    return max((profile.instances * size / profile.at(size) for size in sizes), default=0.2)


def _arrivals(generator: Generator, high: float, seconds: float, *, streaming: bool) -> Arrivals:
    """Of one of five kinds; `high` is the highest rate, but in a flash crowd."""
    low = max(0.2, high * _log_uniform(generator, 0.02, 0.5))
    high = max(high, 1.2 * low)
    slower = 3.0 if streaming else 1.0
    kind = generator.choice(["stable", "unpredictable", "mmpp", "diurnal", "flash"], p=[0.27, 0.35, 0.13, 0.09, 0.16])
    if kind == "stable":
        rates = [_log_uniform(generator, low, high) for _ in range(5)]
        return Stable(tuple(rates), hold=generator.uniform(8.0, 30.0))
    if kind == "unpredictable":
        shortest = _log_uniform(generator, 0.4, 3.0) * slower
        hold = (shortest, shortest * generator.uniform(1.5, 16))
        return Unpredictable((low, high), hold, "uniform" if _happens(generator, 0.7) else "loguniform")
    if kind == "mmpp":
        quiet_s = _log_uniform(generator, 2.0, 15.0)
        return Mmpp((low, high), (quiet_s, quiet_s * generator.uniform(0.1, 0.8)))
    if kind == "diurnal":
        return Diurnal(low, high, period=generator.uniform(0.6, 2.0) * seconds)
    return Flash(low, high * 1.3, at=generator.uniform(0.1, 0.6) * seconds, hold=generator.uniform(4.0, 20.0))


def _network(generator: Generator, tightest_s: float) -> Network:
    median = min(_log_uniform(generator, 0.005, 0.15), 0.15 * tightest_s)
    rate = _log_uniform(generator, 5e6, 1e9) if _happens(generator, 0.2) else None
    if _happens(generator, 0.4):
        delay: Distribution = Constant(median)
    else:
        delay = Lognormal(median, generator.uniform(0.05, 0.7))
    return Network(delay, delay, rate)


ORDERS = tuple(SCHEDULERS)
"""Of requests on a shared link: some have all come late together, some starve what is large or of low priority."""


def _shared(generator: Generator, network: Network, offered_bits_s: float) -> Network:
    """A link for all, from one that is overloaded at the peak to one that is not."""
    rate = offered_bits_s * _log_uniform(generator, 0.6, 1.6)
    return replace(network, rate=rate, order=str(generator.choice(ORDERS)))


def _mean_bits(generator: Generator, classes: tuple[RequestClass, ...]) -> float:
    """Of a request; sizes are constants here, of which one draw says all."""
    shares = sum(kind.share for kind in classes)
    return BITS * sum(kind.share * float(kind.size.draw(generator, 1)[0]) for kind in classes) / shares


def _events(
    generator: Generator, candidates: tuple[SimulatedCandidate, ...], share: float, seconds: float
) -> tuple[Event, ...]:
    if not _happens(generator, share):
        return ()
    made = []
    for _ in range(int(generator.integers(1, 4))):
        at, lasts = generator.uniform(0.0, 0.9) * seconds, generator.uniform(0.05, 0.5) * seconds
        kind = generator.choice(["down", "slow", "all slow", "delay"], p=[0.4, 0.3, 0.15, 0.15])
        candidate = candidates[int(generator.integers(len(candidates)))].model
        if kind == "down":
            made.append(Event(at, lasts, "down", candidate))
        elif kind == "slow":
            made.append(Event(at, lasts, "slow", candidate, _log_uniform(generator, 1.3, 5.0)))
        elif kind == "all slow":
            # What they share is taken by others, or the profiles are of a faster machine.
            factor = _log_uniform(generator, 1.3, 4.0)
            made.extend(Event(at, lasts, "slow", each.model, factor) for each in candidates)
        else:
            made.append(Event(at, lasts, "delay", "", _log_uniform(generator, 1.3, 3.0)))
    return tuple(made)


def _mix(generator: Generator, classes: tuple[RequestClass, ...], seconds: float) -> tuple[MixShift, ...]:
    if len(classes) == 1 or not _happens(generator, 0.25):
        return ()
    names = [kind.traffic.name for kind in classes]
    shifts = sorted(generator.uniform(0.0, seconds, int(generator.integers(1, 4))).tolist())
    return tuple(
        MixShift(at, tuple(zip(names, (generator.dirichlet([1.0] * len(names)) + 0.01).tolist(), strict=True)))
        for at in shifts
    )


def _happens(generator: Generator, share: float) -> bool:
    return bool(generator.uniform() < share)


def _log_uniform(generator: Generator, low: float, high: float) -> float:
    return math.exp(generator.uniform(math.log(low), math.log(high)))


def near(workloads: tuple[Workload, ...], generator: Generator) -> Workload:
    """One of these, with its rates and network as they are and each latency up to a tenth off: for fine-tuning."""
    workload = workloads[int(generator.integers(len(workloads)))]
    candidates = []
    for candidate in workload.candidates:
        factor = _log_uniform(generator, 0.9, 1.1)
        latency = tuple((size, seconds * factor) for size, seconds in candidate.profile.latency_s)
        candidates.append(replace(candidate, profile=replace(candidate.profile, latency_s=latency)))
    return replace(workload, candidates=tuple(candidates))
