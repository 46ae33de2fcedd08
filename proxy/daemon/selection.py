"""Picks the candidate for one request of a route: that of its sequence, else the one that the route's policy says."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from policies.selection.base import Request
from policies.traffic import TrafficClass
from proxy.daemon import trailers
from proxy.daemon.routes import Route, RouteCandidate
from proxy.daemon.sequences import Sequences
from proxy.daemon.triton import InferFacts
from proxy.errors import CallError, Code


@dataclass(frozen=True, slots=True)
class RoutedRequest:
    """One inference request for a route."""

    route: Route
    message: bytes
    facts: InferFacts
    traffic_class: str
    deadline_at: float
    """When its answer is due, on this process's monotonic clock."""
    streaming: bool = False


@dataclass(frozen=True, slots=True)
class Selected:
    """The candidate for a request, and why it is that one."""

    candidate: RouteCandidate
    reason: str
    scores: tuple[float, ...] = ()


SEQUENCE = "its sequence is there"


class Selection:
    """The daemon's side of the policies: what they see, and what their choice means."""

    def __init__(self, classes: Mapping[str, TrafficClass], sequences: Sequences[RouteCandidate]) -> None:
        self._classes = classes
        self._sequences = sequences

    def choose(self, request: RoutedRequest, *, tried: Collection[RouteCandidate] = (), now: float) -> Selected:
        """The candidate for a request that those in `tried` have failed.

        Raises CallError (RESOURCE_EXHAUSTED) when the policy sheds the request, or no more sequences can be remembered.
        """
        route, facts = request.route, request.facts
        if facts.sequence is not None and not facts.sequence_start:
            known = self._sequences.find(route.name, facts.sequence, now=now)
            if known is not None:
                if facts.sequence_end:
                    self._sequences.end(route.name, facts.sequence)
                return Selected(known, SEQUENCE)
        selected = self._ask_policy(request, tried, now)
        if facts.sequence is not None and not facts.sequence_end:
            self._keep(route, facts.sequence, selected.candidate, now)
        return selected

    def lost(self, request: RoutedRequest) -> None:
        """The request's candidate is away, and with it the state of its sequence."""
        if request.facts.sequence is not None:
            self._sequences.end(request.route.name, request.facts.sequence)

    def _ask_policy(self, request: RoutedRequest, tried: Collection[RouteCandidate], now: float) -> Selected:
        route = request.route
        left = [candidate for candidate in route.candidates if candidate not in tried] if tried else route.candidates
        traffic_class = self._classes.get(request.traffic_class)
        choice = route.policy.choose(
            Request(
                route=route.name,
                traffic_class=request.traffic_class,
                weight=1.0 if traffic_class is None else traffic_class.weight,
                deadline_at=request.deadline_at,
                size_bytes=len(request.message),
                streaming=request.streaming,
                attempt=len(tried),
            ),
            [
                candidate.load.candidate(candidate.model, candidate.backend.name, candidate.quality, now=now)
                for candidate in left
            ],
            now=now,
        )
        if choice.candidate is None:
            raise CallError(
                Code.RESOURCE_EXHAUSTED,
                f"policy {route.policy.name} sheds this request for {route.name!r}: {choice.reason}",
                reason=trailers.SATURATED,
            )
        return Selected(left[choice.candidate], choice.reason, choice.scores)

    def _keep(self, route: Route, sequence: int | str, candidate: RouteCandidate, now: float) -> None:
        if not self._sequences.put(route.name, sequence, candidate, now=now):
            raise CallError(
                Code.RESOURCE_EXHAUSTED,
                f"{len(self._sequences)} sequences are under way, no more can be remembered",
                reason=trailers.SATURATED,
            )
