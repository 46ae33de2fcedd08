"""Workloads for the tests of the simulation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from policies.profile import Profile, TokenProfile
from policies.simulation.arrivals import RecordedTimes
from policies.simulation.distribution import Constant
from policies.simulation.workload import Event, Network, RequestClass, SimulatedCandidate, Workload
from policies.traffic import TrafficClass

LARGE = SimulatedCandidate("large", 0.8, Profile(((1, 0.5), (2, 0.6))))
SMALL = SimulatedCandidate("small", 0.4, Profile(((1, 0.1), (4, 0.2))))


def world(at: Sequence[float], *, deadline: float = 1.0, events: Sequence[Event] = (), **changes: Any) -> Workload:
    """One class, requests at these times, 50 ms each way, a large and a small candidate."""
    return Workload(
        name="world",
        seconds=100.0,
        arrivals=RecordedTimes(tuple(at)),
        classes=changes.get("classes", (RequestClass(TrafficClass("only", deadline, weight=2.0), 1.0),)),
        network=changes.get("network", Network(Constant(0.05), Constant(0.05))),
        candidates=changes.get("candidates", (LARGE, SMALL)),
        events=tuple(events),
        mix=changes.get("mix", ()),
    )


def streams(at: Sequence[float], *, answer_tokens: float = 3, token_deadline: float = 0.5) -> Workload:
    """The same with token streams: 0.1 s to read a prompt, 0.2 s a step."""
    tokens = TokenProfile(0.0, 0.1, ((1, 0.2), (4, 0.2)), max_sequences=4)
    traffic = TrafficClass("only", 1.0, token_deadline_s=token_deadline)
    return world(
        at,
        classes=(RequestClass(traffic, 1.0, answer_tokens=Constant(answer_tokens)),),
        candidates=(SimulatedCandidate("large", 0.8, Profile(((1, 0.7),), tokens=tokens)),),
    )
