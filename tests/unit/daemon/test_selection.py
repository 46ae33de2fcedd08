from __future__ import annotations

from collections.abc import Sequence

import pytest

from policies.profile import Profile
from policies.selection.base import Arrivals, Candidate, Choice, Request
from policies.traffic import TrafficClass
from proxy.daemon.routes import Backend, CandidateSettings, Route, RouteCandidate, Routes, RouteSettings
from proxy.daemon.selection import RoutedRequest, Selection
from proxy.daemon.sequences import Sequences
from proxy.daemon.triton import infer_facts
from proxy.daemon.way_back import TunnelPath, WaysBack
from proxy.errors import CallError, Code
from proxy.telemetry import names
from proxy.testing.calls import MemoryCarrier, hanging
from tests.unit.daemon.spans import RecordedSpan
from tests.unit.daemon.stub_triton import infer_request

CLASSES = {"realtime": TrafficClass("realtime", 1.0, token_deadline_s=1.8, weight=2.0)}
PATHS = {"10.0.0.9:4000": TunnelPath(rtt_s=0.1, rate_bytes_s=1e5)}


class Recording:
    """Takes the last candidate, and keeps what it was asked."""

    name = "recording"

    def __init__(self) -> None:
        self.asked: list[tuple[Request, Sequence[Candidate], float]] = []

    def choose(self, request: Request, candidates: Sequence[Candidate], *, now: float) -> Choice:
        self.asked.append((request, candidates, now))
        return Choice(len(candidates) - 1 if candidates else None, "the last", (0.25, 0.75))

    def log_data(self) -> dict[str, object]:
        return {}


@pytest.fixture
def policy() -> Recording:
    return Recording()


@pytest.fixture
def route(policy: Recording) -> Route:
    backend = Backend("a", "a:8001", MemoryCarrier(hanging()))
    candidates = (
        CandidateSettings("a", "large", 0.7, Profile(((1, 0.5), (4, 0.8)))),
        CandidateSettings("a", "small", 0.4),
    )
    (route,) = Routes([RouteSettings("llm", "round_robin", candidates)], {"a": backend})
    route.policy = policy
    return route


@pytest.fixture
def selection() -> Selection:
    return Selection(CLASSES, Sequences(capacity=1), WaysBack(lambda: PATHS))


def request(route: Route, traffic_class: str = "realtime", **parameters: bool | int | str) -> RoutedRequest:
    message = infer_request("llm", **parameters)
    facts = infer_facts(message)
    return RoutedRequest(route, message, facts, traffic_class, deadline_at=12.0, streaming=True, tunnel="10.0.0.9:4000")


def test_a_policy_sees_the_request_and_the_candidates_as_they_stand(
    selection: Selection, route: Route, policy: Recording
) -> None:
    route.candidates[0].load.sent("x", now=10.9)
    route.answers.answered("realtime", 2000)
    selected = selection.choose(request(route), now=11.0)
    assert (selected.candidate.model, selected.reason, selected.scores) == ("small", "the last", (0.25, 0.75))
    ((asked, candidates, now),) = policy.asked
    assert asked == Request(
        "llm",
        traffic_class="realtime",
        weight=2.0,
        deadline_at=12.0,
        way_back_s=pytest.approx(0.05 + 0.02),  # type: ignore[arg-type]
        size_bytes=9,
        streaming=True,
        token_deadline_s=1.8,
        attempt=0,
        arrivals=Arrivals(pytest.approx(1.58, abs=0.01), pytest.approx(1.02, abs=0.01), (("realtime", 1.0),)),  # type: ignore[arg-type]
    )
    assert [(candidate.name, candidate.instance, candidate.quality, candidate.load) for candidate in candidates] == [
        ("large", "a", 0.7, 1),
        ("small", "a", 0.4, 0),
    ]
    assert [candidate.predicted_finish_at for candidate in candidates] == [pytest.approx(10.9 + 0.5 + 0.5), None]
    assert now == 11.0


def test_a_class_that_is_not_known_has_weight_one(selection: Selection, route: Route, policy: Recording) -> None:
    selection.choose(request(route, "mystery"), now=11.0)
    assert policy.asked[0][0].weight == 1.0


def test_candidates_that_have_failed_are_not_offered_again(
    selection: Selection, route: Route, policy: Recording
) -> None:
    selected = selection.choose(request(route), tried=[route.candidates[1]], now=11.0)
    assert selected.candidate.model == "large"
    assert policy.asked[0][0].attempt == 1
    # It is the same request, which has been counted.
    assert policy.asked[0][0].arrivals == Arrivals(0.0, 0.0)


def test_a_proxy_of_whose_tunnel_nothing_is_known_has_no_way_back(route: Route, policy: Recording) -> None:
    Selection(CLASSES, Sequences()).choose(request(route), now=11.0)
    assert policy.asked[0][0].way_back_s == 0.0


def test_the_decision_goes_on_the_span(selection: Selection, route: Route) -> None:
    span, unsampled = RecordedSpan(), RecordedSpan(recording=False)
    selection.choose(request(route), span=unsampled, now=11.0)
    assert unsampled.events == ["decision"]  # in case that the call misses its deadline
    selection.choose(request(route), span=span, now=11.0)
    assert span.events == ["decision"]
    assert span.event_attributes[0][names.DECISION_CHOICE] == "small"
    with pytest.raises(CallError):
        selection.choose(request(route), tried=list(route.candidates), span=span, now=11.0)
    assert span.event_attributes[1][names.DECISION_CHOICE] == "shed"


def test_to_shed_is_to_refuse(selection: Selection, route: Route) -> None:
    with pytest.raises(CallError) as shed:
        selection.choose(request(route), tried=list(route.candidates), now=11.0)
    assert (shed.value.code, shed.value.reason) == (Code.RESOURCE_EXHAUSTED, "rejected-saturated")


def test_a_sequence_is_decided_once(selection: Selection, route: Route, policy: Recording) -> None:
    first = selection.choose(request(route, sequence_id=7, sequence_start=True), now=11.0)
    second = selection.choose(request(route, sequence_id=7), now=12.0)
    last = selection.choose(request(route, sequence_id=7, sequence_end=True), now=13.0)
    assert [step.candidate for step in (first, second, last)] == [route.candidates[1]] * 3
    assert second.reason == "its sequence is there"
    assert len(policy.asked) == 1
    selection.choose(request(route, sequence_id=7), now=14.0)
    assert len(policy.asked) == 2


def test_a_sequence_whose_candidate_is_lost_is_decided_anew(
    selection: Selection, route: Route, policy: Recording
) -> None:
    selection.choose(request(route, sequence_id=7, sequence_start=True), now=11.0)
    selection.lost(request(route, sequence_id=7))
    selection.lost(request(route))
    selection.choose(request(route, sequence_id=7), now=11.0)
    assert len(policy.asked) == 2


def test_a_sequence_too_many_is_refused(selection: Selection, route: Route) -> None:
    selection.choose(request(route, sequence_id=7, sequence_start=True), now=11.0)
    with pytest.raises(CallError, match="1 sequences are under way"):
        selection.choose(request(route, sequence_id=8, sequence_start=True), now=11.0)
    one_shot = selection.choose(request(route, sequence_id=9, sequence_start=True, sequence_end=True), now=11.0)
    assert isinstance(one_shot.candidate, RouteCandidate)
