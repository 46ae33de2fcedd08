"""The requests of one seed: what a clairvoyant would know, drawn before anything runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from policies.scheduling.base import PathEstimate
from policies.scheduling.registry import make_scheduler
from policies.scheduling.simulator import PACKET_BYTES, Job, simulate
from policies.simulation.distribution import Values
from policies.simulation.workload import Workload

BITS = 8


@dataclass(frozen=True, slots=True)
class Trace:
    """Columns, one entry a request, in the order in which the daemon gets them. Times in seconds from the beginning."""

    sent_at: list[float]
    """At the client."""
    arrived_at: list[float]
    """At the daemon; ascending."""
    kind: list[int]
    """Position of its class in the workload."""
    deadline_at: list[float]
    """When its answer is due at the client."""
    way_back_s: list[float]
    """How long its answer takes from the daemon to the client."""
    known_way_back_s: list[float]
    """What the daemon expects of that: the smoothed way up of the requests so far, and the answer's transfer."""
    size_bytes: list[int]
    prompt_tokens: list[int]
    answer_tokens: list[int]
    """Messages of its answer; 1 where answers are whole."""

    def __len__(self) -> int:
        return len(self.sent_at)


SMOOTHING = 1 / 8
"""Of a new sample in the smoothed way, as in the smoothed RTT of RFC 9002, section 5.3."""


def draw(workload: Workload, seed: int) -> Trace:
    """The trace of a seed. Each quantity has its own generator, so that a change of one leaves the others alone."""
    streams = [np.random.Generator(np.random.PCG64(child)) for child in np.random.SeedSequence(seed).spawn(6)]
    of_arrivals, of_classes, of_sizes, of_up, of_down, of_tokens = streams
    sent = workload.arrivals.times(of_arrivals, workload.seconds)
    count = len(sent)
    kind = _kinds(workload, sent, of_classes.uniform(size=count))
    size, answer = np.zeros(count), np.zeros(count)
    prompt, tokens = np.zeros(count), np.ones(count)
    deadline = np.zeros(count)
    for place, described in enumerate(workload.classes):
        own = kind == place
        size[own] = described.size.draw(of_sizes, count)[own]
        answer[own] = described.answer_size.draw(of_sizes, count)[own]
        prompt[own] = described.prompt_tokens.draw(of_tokens, count)[own]
        if described.answer_tokens is not None:
            tokens[own] = np.maximum(1, np.rint(described.answer_tokens.draw(of_tokens, count)))[own]
        deadline[own] = sent[own] + described.traffic.deadline_s
    bit_s = 0.0 if workload.network.rate is None else BITS / workload.network.rate
    factor = _delay_factor(workload, sent)
    delay = workload.network.up.draw(of_up, count) * factor
    up = delay + size * bit_s + _waits(workload, sent, kind, deadline, size, delay)
    down = workload.network.down.draw(of_down, count) * factor
    order = np.argsort(sent + up, kind="stable")
    known = _smoothed(delay[order]) + (answer * bit_s)[order]
    return Trace(
        sent_at=sent[order].tolist(),
        arrived_at=(sent + up)[order].tolist(),
        kind=kind[order].tolist(),
        deadline_at=deadline[order].tolist(),
        way_back_s=(down + answer * bit_s)[order].tolist(),
        known_way_back_s=known.tolist(),
        size_bytes=size[order].astype(int).tolist(),
        prompt_tokens=prompt[order].astype(int).tolist(),
        answer_tokens=tokens[order].astype(int).tolist(),
    )


GRAIN_S = 0.01
"""Of a shared link's time between two choices of who sends."""


def _waits(
    workload: Workload,
    sent: Values,
    kind: np.ndarray[tuple[int], np.dtype[np.intp]],
    deadline: Values,
    size: Values,
    delay: Values,
) -> Values:
    """Seconds beside its own transfer that each request waits for others on a link that they share."""
    network = workload.network
    if network.rate is None or network.order is None:
        return np.zeros(len(sent))
    rate_bytes_s = network.rate / BITS
    whole = np.maximum(1, size.astype(int))
    jobs = []
    for place, described in enumerate(kind.tolist()):
        its = workload.classes[described].traffic
        jobs.append(Job(sent[place], int(whole[place]), deadline[place], its.weight, its.priority, its.level))
    way_s = float(delay.mean()) if len(delay) else 0.0
    finished = simulate(
        make_scheduler(network.order),
        jobs,
        rate=rate_bytes_s,
        estimate=PathEstimate(rate_bytes_s, 2 * way_s, 2 * way_s),
        packet_bytes=max(PACKET_BYTES, round(GRAIN_S * rate_bytes_s)),
    )
    left = np.array([finish.finished_at for finish in finished])
    return np.maximum(0.0, left - sent - size / rate_bytes_s)


def _kinds(workload: Workload, sent: Values, drawn: Values) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Positions of the classes, by the shares that hold when a request is sent."""
    names = [described.traffic.name for described in workload.classes]
    mixes = [(0.0, {described.traffic.name: described.share for described in workload.classes})]
    mixes += [(shift.at, dict(shift.shares)) for shift in workload.mix]
    kind = np.zeros(len(sent), dtype=np.intp)
    for at, shares in mixes:
        edges = np.cumsum([shares.get(name, 0.0) for name in names])
        later = sent >= at
        kind[later] = np.searchsorted(edges, drawn[later] * edges[-1], side="right")
    return kind


def _delay_factor(workload: Workload, sent: Values) -> Values:
    factor = np.ones(len(sent))
    for event in workload.events:
        if event.kind == "delay":
            factor[(sent >= event.at) & (sent < event.at + event.duration_s)] *= event.factor
    return factor


def _smoothed(samples: Values) -> Values:
    """What is known after each sample."""
    known = np.empty(len(samples))
    value = samples[0] if len(samples) else 0.0
    for place, sample in enumerate(samples.tolist()):
        value += (sample - value) * SMOOTHING
        known[place] = value
    return known
