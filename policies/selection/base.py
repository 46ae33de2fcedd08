"""The port between the daemon, or the simulator, and a selection policy.

A policy is asked once for each routed request, and again, without the candidates that failed, when the request is tried
anew. It answers at once: no waiting, no input or output. Everything it may know is in its arguments and in what it
remembers itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from policies.profile import Profile
from policies.traffic import NO_DEADLINE


@dataclass(frozen=True, slots=True)
class Arrivals:
    """How fast requests of one route arrive, as measured when one of them is decided."""

    fast_rate: float
    """Requests a second over the last second or so."""
    slow_rate: float
    """Requests a second over the last tens of seconds."""
    class_mix: tuple[tuple[str, float], ...] = ()
    """Share of each traffic class in them, by name."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a policy knows of the request it decides."""

    route: str
    """The model name that the client asked for."""
    traffic_class: str = ""
    weight: float = 1.0
    """What an answer in time is worth, from the traffic class."""
    deadline_at: float = NO_DEADLINE
    """Until when the client wants its answer, on the clock of `now`."""
    way_back_s: float = 0.0
    """How long the answer is expected to travel from here to the client, in seconds."""
    size_bytes: int = 0
    """Length of the request message."""
    size_tokens: int | None = None
    """Length of the prompt, where the daemon can tell."""
    streaming: bool = False
    """True when the answer may have many messages."""
    token_deadline_s: float = NO_DEADLINE
    """Seconds from one message of the answer to the next, from the traffic class."""
    attempt: int = 0
    """How many candidates have already failed this request."""
    arrivals: Arrivals | None = None
    """None where nobody measures them."""

    def slack_s(self, *, now: float) -> float:
        """Seconds a model may take for the answer to be in time: below 0 if too late, `math.inf` with no deadline."""
        return self.deadline_at - self.way_back_s - now


@dataclass(frozen=True, slots=True)
class Candidate:
    """One model on one Triton, as it stands when a request is decided."""

    name: str
    """Triton's name of the model."""
    instance: str
    """The daemon's name of the Triton that has it."""
    quality: float
    """What its answers are worth, 0 to 1."""
    ready: bool = True
    """False while its Triton does not answer or does not have the model loaded."""
    running: int = 0
    """Requests sent to it and not finished, without those that `waiting` counts."""
    waiting: int = 0
    """Requests in the model's queue, as far as they are known to be there."""
    batch: int | None = None
    """Size of the batch that the request would join; None when unknown."""
    predicted_finish_at: float | None = None
    """When it would answer this request, on the clock of `now`; None when nothing predicts it."""
    latency_s: float | None = None
    """Recent mean time from sending to the last answer message; None before the first answer."""
    error_rate: float = 0.0
    """Recent share of requests that failed through the model's fault, 0 to 1."""
    slow_down: float = 1.0
    """How much longer it takes of late than it should, at least 1: recent batches over their profiled time, with the
    one that is overdue by most; without a profile, recent latency over its long-run mean.
    """
    gpu_load: float | None = None
    """Utilisation of the GPUs of its Triton, 0 to 1; None when not measured."""
    profile: Profile | None = None
    """How long it takes by batch size, measured beforehand; None where nobody measured it."""

    @property
    def load(self) -> int:
        """Requests ahead of the next one."""
        return self.running + self.waiting


@dataclass(frozen=True, slots=True)
class Choice:
    """A policy's answer: a candidate, or to shed the request (refuse it now rather than answer late)."""

    candidate: int | None
    """Position in the sequence that the policy was given; None is shed."""
    reason: str = ""
    """Why, in a few words, for traces; on shed it is the text that the client sees."""
    scores: tuple[float, ...] = ()
    """What the policy gave each candidate, in their order and with shed last if it scores that; empty if it has no
    scores.
    """
    fallback: str = ""
    """Why another policy decided than the one that was to; empty when it did itself."""

    @property
    def shed(self) -> bool:
        """True when the request is to be refused."""
        return self.candidate is None


class Policy(Protocol):
    """Picks a candidate for each request of one route.

    The contract, checked for every policy in `tests/contract/test_policies.py`: a candidate that is not ready is chosen
    only if none is ready; without candidates the choice is to shed; two policies with the same history answer the same;
    the arguments are not kept and not changed.
    """

    @property
    def name(self) -> str:
        """The name that the configuration uses, such as `static:llm-large`."""

    def choose(self, request: Request, candidates: Sequence[Candidate], *, now: float) -> Choice:
        """Decide one request. `now` is in seconds on a monotonic clock."""

    def log_data(self) -> Mapping[str, object]:
        """What the policy remembers, a few values for a log line or a span."""


def choosable(candidates: Sequence[Candidate]) -> list[int]:
    """Positions of the candidates that are ready; if none is, all of them.

    A request for which nothing is ready is better tried than refused: readiness is what was last heard, and may be out
    of date.
    """
    ready = [position for position, candidate in enumerate(candidates) if candidate.ready]
    return ready or list(range(len(candidates)))


NO_CANDIDATES = Choice(None, "the route has no candidate left")
