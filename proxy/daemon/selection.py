"""Picks the candidate for one request of a route: that of its sequence, else the one that the route's policy says."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from policies.selection.base import Choice, Request
from policies.selection.greedy import NONE_IN_TIME
from policies.traffic import NO_DEADLINE, TrafficClass
from proxy.clock import Clock, MonotonicClock
from proxy.daemon import trailers
from proxy.daemon.decision_trace import note_decision
from proxy.daemon.late_queue import Released
from proxy.daemon.routes import Route, RouteCandidate
from proxy.daemon.sequences import Sequences
from proxy.daemon.triton import InferFacts
from proxy.daemon.waiting_room import RoomFullError
from proxy.daemon.way_back import WaysBack
from proxy.errors import CallError, Code
from proxy.telemetry.tracing import NO_SPAN, CallSpan


@dataclass(frozen=True, slots=True)
class RoutedRequest:
    """One inference request for a route."""

    route: Route
    message: bytes
    facts: InferFacts
    traffic_class: str
    deadline_at: float
    """When its answer is due at the client, on this process's monotonic clock."""
    streaming: bool = False
    tunnel: str = ""
    """The proxy that it came through, see `CallHead.tunnel`."""


@dataclass(frozen=True, slots=True)
class Selected:
    """The candidate for a request, and why it is that one."""

    candidate: RouteCandidate
    reason: str
    scores: tuple[float, ...] = ()
    fallback: str = ""
    """Why the route's policy did not decide itself; empty when it did."""
    key: object = field(default_factory=object)
    """Names the request in the candidate's account."""


SEQUENCE = "its sequence is there"
PLANNED = "planned"


class Selection:
    """The daemon's side of the policies: what they see, and what their choice means."""

    def __init__(
        self,
        classes: Mapping[str, TrafficClass],
        sequences: Sequences[RouteCandidate],
        ways_back: WaysBack | None = None,
        *,
        timer: Clock | None = None,
    ) -> None:
        self._classes = classes
        self._sequences = sequences
        self._ways_back = ways_back or WaysBack()
        self._timer = timer or MonotonicClock()

    def choose(
        self,
        request: RoutedRequest,
        *,
        tried: Collection[RouteCandidate] = (),
        waited: Released | None = None,
        span: CallSpan = NO_SPAN,
        now: float,
    ) -> Selected:
        """The candidate for a request that those in `tried` have failed. The policy's decision goes on `span`.

        One that has `waited` for a decision that did not come is decided now.
        Raises CallError (RESOURCE_EXHAUSTED) when the policy sheds the request, or no more sequences can be remembered.
        """
        route, facts = request.route, request.facts
        if not (tried or waited):
            route.arrivals.arrived(request.traffic_class, now=now)
        if facts.sequence is not None and not facts.sequence_start:
            known = self._sequences.find(route.name, facts.sequence, now=now)
            if known is not None:
                if facts.sequence_end:
                    self._sequences.end(route.name, facts.sequence)
                known.numbers.sent(request.traffic_class)
                return Selected(known, SEQUENCE)
        selected = self._ask_policy(request, tried, "" if waited is None else waited.cause, span, now)
        if facts.sequence is not None and not facts.sequence_end:
            self._keep(route, facts.sequence, selected.candidate, now)
        selected.candidate.numbers.sent(request.traffic_class)
        return selected

    async def wait(
        self, request: RoutedRequest, *, tried: Collection[RouteCandidate] = (), now: float
    ) -> Released | None:
        """Where the route's policy decides late: have the request wait for it.

        None for one that may not wait. Raises CallError (RESOURCE_EXHAUSTED) when no more can wait.
        """
        route, room = request.route, request.route.waiting
        if room is None or request.facts.sequence is not None or request.streaming:
            return None
        if not tried:
            route.arrivals.arrived(request.traffic_class, now=now)
        barred = [position for position, candidate in enumerate(route.candidates) if candidate in tried]
        deviation_s = self._ways_back.deviation_s(request.tunnel, now=now)
        try:
            while True:
                asked = self._asked(request, len(tried), now)
                released = await room.wait(asked, way_back_deviation_s=deviation_s, barred=barred)
                other = route.waiting
                if not released.undecided or other is None or other is room:
                    return released
                room = other  # the policy was switched meanwhile, to one that decides late as well
        except RoomFullError as full:
            what = f"route {route.name!r} has no room for another request to wait: {full}"
            raise CallError(Code.RESOURCE_EXHAUSTED, what, reason=trailers.SATURATED) from None

    def released(
        self, request: RoutedRequest, released: Released, *, attempt: int = 0, span: CallSpan = NO_SPAN, now: float
    ) -> Selected:
        """What was decided about a request that waited. Raises CallError (RESOURCE_EXHAUSTED) if it is to be shed."""
        route = request.route
        choice = NONE_IN_TIME if released.position is None else Choice(released.position, PLANNED)
        if span.recording:
            candidates = [one.load.account.candidate(quality=one.quality, now=now) for one in route.candidates]
            asked = self._asked(request, attempt, now)
            note_decision(span, asked, candidates, choice, policy=route.policy.name, held=released.held, now=now)
        if released.position is None:
            raise _shed(route, choice)
        candidate = route.candidates[released.position]
        candidate.numbers.sent(request.traffic_class)
        return Selected(candidate, PLANNED, key=released.key)

    def lost(self, request: RoutedRequest) -> None:
        """The request's candidate is away, and with it the state of its sequence."""
        if request.facts.sequence is not None:
            self._sequences.end(request.route.name, request.facts.sequence)

    def _ask_policy(
        self, request: RoutedRequest, tried: Collection[RouteCandidate], cause: str, span: CallSpan, now: float
    ) -> Selected:
        began_at = self._timer.now()
        route, prompt = request.route, request.facts.prompt
        left = [candidate for candidate in route.candidates if candidate not in tried] if tried else route.candidates
        asked = self._asked(request, len(tried), now)
        candidates = [
            candidate.load.account.candidate(prompt_tokens=prompt or 0, quality=candidate.quality, now=now)
            for candidate in left
        ]
        choice = route.policy.choose(asked, candidates, now=now)
        if cause:
            choice = replace(choice, fallback=cause)
        route.numbers.decided(route.policy.name, took_s=self._timer.now() - began_at)
        note_decision(span, asked, candidates, choice, policy=route.policy.name, now=now)
        if choice.candidate is None:
            raise _shed(route, choice)
        return Selected(left[choice.candidate], choice.reason, choice.scores, choice.fallback)

    def _asked(self, request: RoutedRequest, attempt: int, now: float) -> Request:
        route, name = request.route, request.traffic_class
        traffic_class = self._classes.get(name)
        return Request(
            route.name,
            name,
            1.0 if traffic_class is None else traffic_class.weight,
            request.deadline_at,
            self._ways_back.expected_s(request.tunnel, route.answers.expected_bytes(name), now=now),
            len(request.message),
            request.facts.prompt,
            request.streaming,
            traffic_class.token_deadline_s if traffic_class is not None and request.streaming else NO_DEADLINE,
            attempt,
            route.arrivals.arrivals(now=now),
        )

    def _keep(self, route: Route, sequence: int | str, candidate: RouteCandidate, now: float) -> None:
        if not self._sequences.put(route.name, sequence, candidate, now=now):
            raise CallError(
                Code.RESOURCE_EXHAUSTED,
                f"{len(self._sequences)} sequences are under way, no more can be remembered",
                reason=trailers.SATURATED,
            )


def _shed(route: Route, choice: Choice) -> CallError:
    return CallError(
        Code.RESOURCE_EXHAUSTED,
        f"policy {route.policy.name} sheds this request for {route.name!r}: {choice.reason}",
        reason=trailers.SATURATED,
    )
