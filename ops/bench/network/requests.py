"""Requests: when they arrive, and what became of them."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ops.bench.network.scenario import NetworkScenario


@dataclass(frozen=True, slots=True)
class Request:
    """One request, before it is sent."""

    number: int
    traffic_class: str
    arrival_s: float
    """From the beginning of the cell."""
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request. Times are seconds from the beginning of the cell."""

    number: int
    traffic_class: str
    arrival_s: float
    """When it was due to be sent, and is counted from; a client that is behind does not shorten it."""
    sent_s: float
    """When the client sent it."""
    served_s: float | None
    """When all of it was at the backend; None where that is not known."""
    done_s: float | None
    """When the client had the answer; None where it got none."""
    status: str
    """The gRPC status; OK where the answer was the right one."""

    @property
    def latency_s(self) -> float | None:
        """From arrival to answer; None without a right answer."""
        return self.done_s - self.arrival_s if self.done_s is not None and self.status == "OK" else None


def draw_requests(scenario: NetworkScenario, *, load: float | None, seed: int) -> tuple[Request, ...]:
    """The requests of every cell with this load and seed, by arrival.

    Classes and gaps are drawn apart, so that all loads of a seed have the same classes, and gaps that differ by a
    factor only.
    """
    classes = list(scenario.classes.values())
    kinds = random.Random(f"classes {seed}")
    gaps = random.Random(f"gaps {seed}")
    count = min(scenario.requests, len(scenario.trace)) if scenario.kind == "trace" else scenario.requests
    mean_gap_s = 0.0 if load is None else scenario.mean_size_bytes * 8 / (load * scenario.link.rate_bits_s)
    found: list[Request] = []
    at_s = 0.0
    for number in range(count):
        drawn = kinds.choices(classes, [item.share for item in classes])[0]
        at_s += gaps.expovariate(1.0) * mean_gap_s
        if scenario.kind == "trace":
            arrival = scenario.trace[number]
            at_s = arrival.at_s
            drawn = scenario.classes[arrival.traffic_class] if arrival.traffic_class is not None else drawn
        found.append(Request(number, drawn.name, at_s, drawn.size_bytes))
    return tuple(found)


def write_requests(file: Path, requests: Sequence[Request]) -> None:
    """For the client."""
    file.write_text(json.dumps([asdict(request) for request in requests]))


def read_requests(file: Path) -> list[Request]:
    """What `write_requests` wrote."""
    return [Request(**item) for item in json.loads(file.read_text())]


def write_outcomes(file: Path, outcomes: Sequence[Outcome]) -> None:
    """For the experiment."""
    file.write_text(json.dumps([asdict(outcome) for outcome in outcomes]))


def read_outcomes(file: Path) -> tuple[Outcome, ...]:
    """What `write_outcomes` wrote."""
    return tuple(Outcome(**item) for item in json.loads(file.read_text()))
