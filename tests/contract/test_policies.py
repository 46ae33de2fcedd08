"""What every selection policy must do, whatever it optimises (the contract in `policies.selection.base.Policy`)."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.dqn.checkpoint import read_checkpoint
from policies.profile import Profile
from policies.selection.base import Arrivals, Candidate, Policy, Request
from policies.selection.registry import POLICIES, POLICIES_WITH_ARGUMENT, make_policy

ARGUMENTS = {"static": "model-1", "thresholds": "10,40", "dqn": str(read_checkpoint().path)}
SPECS = [*POLICIES, *(f"{name}:{ARGUMENTS[name]}" for name in POLICIES_WITH_ARGUMENT)]

profiles_st = st.builds(
    lambda first_s, more_s, largest, deviation, instances: Profile(
        ((1, first_s), (largest, first_s + more_s)), deviation=deviation, p95_over_p50=1.2, instances=instances
    ),
    st.floats(0.001, 1),
    st.floats(0, 1),
    st.integers(2, 16),
    st.floats(0, 0.5),
    st.integers(1, 3),
)

candidates_st = st.lists(
    st.builds(
        Candidate,
        name=st.sampled_from([f"model-{n}" for n in range(4)]),
        instance=st.sampled_from(["a", "b"]),
        quality=st.floats(0, 1),
        ready=st.booleans(),
        running=st.integers(0, 50),
        waiting=st.integers(0, 50),
        latency_s=st.none() | st.floats(0, 10),
        error_rate=st.floats(0, 1),
        slow_down=st.floats(1, 10),
        predicted_finish_at=st.none() | st.floats(0, 200),
        batch=st.none() | st.integers(1, 64),
        profile=st.none() | profiles_st,
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda candidate: (candidate.name, candidate.instance),
)
requests_st = st.builds(
    Request,
    route=st.just("llm"),
    traffic_class=st.sampled_from(["realtime", "bulk", ""]),
    weight=st.floats(0, 5),
    deadline_at=st.floats(0, 200) | st.just(math.inf),
    size_bytes=st.integers(0, 1 << 30),
    way_back_s=st.floats(0, 1),
    attempt=st.integers(0, 2),
    arrivals=st.none() | st.builds(Arrivals, st.floats(0, 1000), st.floats(0, 1000)),
)
history_st = st.lists(st.tuples(requests_st, candidates_st), max_size=5)


@pytest.fixture(params=SPECS)
def policy(request: pytest.FixtureRequest) -> Policy:
    return make_policy(request.param)


@settings(max_examples=40)
@given(history=history_st)
def test_a_candidate_that_is_not_ready_is_chosen_only_if_none_is(
    history: list[tuple[Request, list[Candidate]]],
) -> None:
    for spec in SPECS:
        policy = make_policy(spec)
        for now, (request, candidates) in enumerate(history):
            choice = policy.choose(request, candidates, now=float(now))
            assert choice.reason, spec
            if choice.candidate is not None:
                assert 0 <= choice.candidate < len(candidates), spec
                assert candidates[choice.candidate].ready or not any(candidate.ready for candidate in candidates), spec


@settings(max_examples=40)
@given(history=history_st)
def test_the_same_history_gives_the_same_choices_and_arguments_are_neither_kept_nor_changed(
    history: list[tuple[Request, list[Candidate]]],
) -> None:
    for spec in SPECS:
        first, second = make_policy(spec), make_policy(spec)
        for now, (request, candidates) in enumerate(history):
            lent = list(candidates)
            choice = first.choose(request, lent, now=float(now))
            assert lent == candidates, spec
            lent.clear()
            assert choice == second.choose(request, tuple(candidates), now=float(now)), spec
        assert first.log_data() == second.log_data(), spec


def test_without_candidates_the_choice_is_to_shed_with_a_reason(policy: Policy) -> None:
    choice = policy.choose(Request("llm"), [], now=0.0)
    assert choice.shed
    assert choice.reason == "the route has no candidate left"


def test_an_idle_system_sheds_nothing(policy: Policy) -> None:
    candidates = [Candidate(f"model-{n}", "a", quality=n / 4) for n in range(4)]
    for now in range(10):
        assert not policy.choose(Request("llm"), candidates, now=float(now)).shed


def test_an_idle_system_with_profiles_sheds_nothing_that_can_be_in_time(policy: Policy) -> None:
    candidates = [Candidate(f"model-{n}", "a", quality=n / 4, profile=Profile(((1, 0.1 * n),))) for n in (1, 2, 3)]
    for now in range(10):
        choice = policy.choose(Request("llm", deadline_at=now + 1.0), candidates, now=float(now))
        assert choice.candidate is not None


def test_candidates_may_come_and_go(policy: Policy) -> None:
    large = Candidate("model-1", "a", 0.9)
    small = Candidate("model-2", "b", 0.1)
    for candidates in ([large], [small], [small, large], [replace(large, ready=False), small], [large]):
        choice = policy.choose(Request("llm"), candidates, now=0.0)
        assert choice.candidate is not None
        assert candidates[choice.candidate].ready


@pytest.mark.parametrize("spec", SPECS)
def test_its_name_is_what_the_configuration_says(spec: str) -> None:
    assert make_policy(spec).name == spec


def test_scores_have_one_value_for_each_candidate_and_perhaps_one_for_shed(policy: Policy) -> None:
    candidates = [Candidate("model-1", "a", 0.9), Candidate("model-2", "b", 0.1)]
    assert len(policy.choose(Request("llm"), candidates, now=0.0).scores) in {0, 2, 3}
