"""The record of a workload: what arrives, over which network, at which candidates, and what happens to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from policies.profile import Profile
from policies.simulation.arrivals import Arrivals
from policies.simulation.distribution import Constant, Distribution
from policies.traffic import TrafficClass

NOTHING = Constant(0.0)


@dataclass(frozen=True, slots=True)
class RequestClass:
    """One traffic class in a workload."""

    traffic: TrafficClass
    share: float
    """Of the requests, over the sum of the shares."""
    size: Distribution = NOTHING
    """Bytes of a request."""
    answer_size: Distribution = NOTHING
    """Bytes of an answer."""
    prompt_tokens: Distribution = NOTHING
    """Length of the prompt, for token streams."""
    answer_tokens: Distribution | None = None
    """Length of the answer; None where answers are whole."""


@dataclass(frozen=True, slots=True)
class MixShift:
    """From `at` on the classes have other shares."""

    at: float
    """Seconds."""
    shares: tuple[tuple[str, float], ...]
    """By class; those left out have none."""


@dataclass(frozen=True, slots=True)
class Network:
    """The way between clients and daemon. Every request meets its own delay, and with `order` one queue for all."""

    up: Distribution
    """Seconds from the client to the daemon."""
    down: Distribution
    """Seconds back, independent of the way up unless recorded together."""
    rate: float | None = None
    """Bits a second that one message travels at; None: its size does not count."""
    order: str | None = None
    """Of `policies.scheduling.registry`: requests share the rate, and wait for each other in this order. None: each
    travels at the rate, however many there are."""


@dataclass(frozen=True, slots=True)
class SimulatedCandidate:
    """One model."""

    model: str
    quality: float
    profile: Profile


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens for a time."""

    at: float
    """Seconds."""
    duration_s: float
    kind: Literal["down", "slow", "delay"]
    """A candidate fails everything; it takes `factor` times as long; the network does."""
    candidate: str = ""
    """The model's name; empty for `delay`."""
    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class Workload:
    """Everything a run needs but the policy and the seed."""

    name: str
    seconds: float
    """How long requests are sent."""
    arrivals: Arrivals
    classes: tuple[RequestClass, ...]
    network: Network
    candidates: tuple[SimulatedCandidate, ...]
    events: tuple[Event, ...] = ()
    mix: tuple[MixShift, ...] = ()
    """Ascending by time."""

    @property
    def best_quality(self) -> float:
        """What the score is measured by."""
        return max(candidate.quality for candidate in self.candidates)

    @property
    def streaming(self) -> bool:
        """Whether answers are token streams."""
        return any(kind.answer_tokens is not None for kind in self.classes)
