"""What the daemon adds to the trailing metadata of an answer, and the statuses that are its own."""

from __future__ import annotations

from collections.abc import Iterable

from proxy.daemon.routes import Route, RouteCandidate
from proxy.errors import CallError
from proxy.tunnel.exchange import CallStatus, Metadata

MODEL = "x-headway-model"
INSTANCE = "x-headway-instance"
POLICY = "x-headway-policy"
DROPPED_REASON = "x-headway-dropped-reason"

SATURATED = "rejected-saturated"
DEADLINE_EXPIRED = "rejected-deadline-expired"
SHUTTING_DOWN = "rejected-shutting-down"
NO_BACKEND = "rejected-no-backend"


def chosen(route: Route, candidate: RouteCandidate) -> tuple[tuple[str, str], ...]:
    """Who answered."""
    return ((MODEL, candidate.model), (INSTANCE, candidate.backend.name), (POLICY, route.policy.name))


def chosen_in_stream(answered: Iterable[tuple[Route, RouteCandidate]]) -> Metadata:
    """Who answered in a stream, in the order of their first answers; nothing where none did."""
    each = [chosen(route, candidate) for route, candidate in answered]
    return tuple((key, ", ".join(dict.fromkeys(dict(one)[key] for one in each))) for key, _ in each[0]) if each else ()


def refusal(error: CallError) -> CallStatus:
    """The status of a call that the daemon ends itself."""
    return CallStatus(error.code, error.message, ((DROPPED_REASON, error.reason),) if error.reason else ())
