from __future__ import annotations

from collections.abc import Sequence

import pytest

from policies.selection.base import Candidate, Choice, Request
from policies.traffic import TrafficClass
from proxy.daemon.routes import Backend, CandidateSettings, Route, RouteCandidate, Routes, RouteSettings
from proxy.daemon.selection import RoutedRequest, Selection
from proxy.daemon.sequences import Sequences
from proxy.daemon.triton import infer_facts
from proxy.errors import CallError, Code
from proxy.testing.calls import MemoryCarrier, hanging
from tests.unit.daemon.stub_triton import infer_request

CLASSES = {"realtime": TrafficClass("realtime", 1.0, weight=2.0)}


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
    candidates = (CandidateSettings("a", "large", 0.7), CandidateSettings("a", "small", 0.4))
    (route,) = Routes([RouteSettings("llm", "round_robin", candidates)], {"a": backend})
    route.policy = policy
    return route


@pytest.fixture
def selection() -> Selection:
    return Selection(CLASSES, Sequences(capacity=1))


def request(route: Route, traffic_class: str = "realtime", **parameters: bool | int | str) -> RoutedRequest:
    message = infer_request("llm", **parameters)
    return RoutedRequest(route, message, infer_facts(message), traffic_class, deadline_at=12.0, streaming=True)


def test_a_policy_sees_the_request_and_the_candidates_as_they_stand(
    selection: Selection, route: Route, policy: Recording
) -> None:
    route.candidates[0].load.sent()
    selected = selection.choose(request(route), now=11.0)
    assert (selected.candidate.model, selected.reason, selected.scores) == ("small", "the last", (0.25, 0.75))
    ((asked, candidates, now),) = policy.asked
    assert asked == Request(
        "llm", traffic_class="realtime", weight=2.0, deadline_at=12.0, size_bytes=9, streaming=True, attempt=0
    )
    assert [(candidate.name, candidate.instance, candidate.quality, candidate.load) for candidate in candidates] == [
        ("large", "a", 0.7, 1),
        ("small", "a", 0.4, 0),
    ]
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
