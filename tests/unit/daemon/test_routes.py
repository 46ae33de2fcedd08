from __future__ import annotations

import pytest

from policies.profile import Profile
from proxy.daemon.routes import Backend, CandidateSettings, Routes, RouteSettings
from proxy.testing.calls import MemoryCarrier, hanging

BACKENDS = {name: Backend(name, f"{name}:8001", MemoryCarrier(hanging())) for name in "ab"}
LLM = RouteSettings("llm", "round_robin", (CandidateSettings("a", "large", 0.7), CandidateSettings("b", "large", 0.7)))
FAST = RouteSettings("fast", "static:large", (CandidateSettings("a", "large", 0.9),))


def test_routes_are_found_by_the_bytes_of_their_names() -> None:
    routes = Routes([LLM, FAST], BACKENDS)
    llm = routes.find(b"llm")
    assert llm is not None
    assert (llm.name, llm.policy.name, [candidate.backend.name for candidate in llm.candidates]) == (
        "llm",
        "round_robin",
        ["a", "b"],
    )
    assert routes.find(b"large") is None
    assert routes.find(b"") is None
    assert (len(routes), [route.name for route in routes]) == (2, ["llm", "fast"])


def test_routes_share_the_account_of_a_model_and_not_their_policies() -> None:
    routes = Routes([LLM, FAST, RouteSettings("again", "round_robin", LLM.candidates)], BACKENDS)
    llm, fast, again = routes
    assert llm.candidates[0].load is fast.candidates[0].load
    assert llm.candidates[0].load is not llm.candidates[1].load
    assert llm.policy is not again.policy
    assert [(backend, model) for backend, model, _ in routes.models()] == [("a", "large"), ("b", "large")]


def test_a_profile_given_once_counts_for_every_route_that_has_the_model() -> None:
    profile = Profile(((1, 0.1),))
    quick = RouteSettings("quick", "static:large", (CandidateSettings("a", "large", 0.9, profile),))
    llm, _ = Routes([LLM, quick], BACKENDS)
    first, second = llm.candidates
    assert first.load.account.profile is profile
    assert second.load.account.profile is None


def test_a_candidate_is_found_by_model_and_backend() -> None:
    (llm,) = Routes([LLM], BACKENDS)
    assert llm.of_model("large", BACKENDS["b"]) is llm.candidates[1]
    assert llm.of_model("small", BACKENDS["b"]) is None


def test_an_unknown_policy_or_triton_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown policy 'best'"):
        Routes([RouteSettings("llm", "best", LLM.candidates)], BACKENDS)
    unknown = (CandidateSettings("c", "m", 0.5),)
    with pytest.raises(KeyError):
        Routes([RouteSettings("llm", "round_robin", unknown)], BACKENDS)


def test_a_backend_reads_as_it_stands_in_messages() -> None:
    assert str(BACKENDS["a"]) == "triton 'a' at a:8001"


def test_candidates_that_a_learned_policy_cannot_judge_are_named(caplog: pytest.LogCaptureFixture) -> None:
    profile = Profile(((1, 0.1),))
    candidates = (CandidateSettings("a", "large", 0.9, profile), CandidateSettings("b", "large", 0.7))
    Routes([RouteSettings("llm", "dqn:/nowhere/x.safetensors", candidates)], BACKENDS)
    assert caplog.messages[-1] == (
        "Policy dqn:/nowhere/x.safetensors of route llm decides as greedy does while these candidates have no profile: "
        "large"
    )
