from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from policies.profile import Profile, TokenProfile
from policies.selection.base import Arrivals, Candidate, Request
from policies.selection.features import (
    ABSENT,
    CANDIDATE_FEATURES,
    GROUPS,
    LIMIT,
    REQUEST_FEATURES,
    SCHEMA,
    Features,
    hopeless,
    may_shed,
    squash_s,
)

PROFILE = Profile(((1, 0.1), (4, 0.2)))
ARRIVALS = Arrivals(20.0, 10.0, (("realtime", 0.25), ("bulk", 0.75)))
REQUEST = Request("llm", "bulk", 1.0, deadline_at=12.0, way_back_s=0.5, size_bytes=8192, arrivals=ARRIVALS)
URGENT = replace(REQUEST, traffic_class="realtime", weight=2.0, deadline_at=11.0)
CANDIDATE = Candidate("large", "a", 0.6, running=3, waiting=2, batch=2, predicted_finish_at=11.0, profile=PROFILE)


def request_values(*requests: Request) -> dict[str, float]:
    """Of the last one, after the others."""
    features = Features()
    values = [features.encode(request, [], now=10.0)[0] for request in requests]
    return dict(zip(REQUEST_FEATURES, values[-1], strict=True))


def candidate_values(
    candidate: Candidate, request: Request = REQUEST, others: Sequence[Candidate] = ()
) -> dict[str, float]:
    _, rows = Features().encode(request, [candidate, *others], now=10.0)
    return dict(zip(CANDIDATE_FEATURES, rows[0], strict=True))


def test_the_schema_is_pinned_to_the_names() -> None:
    """Whoever changes names, order or meaning raises SCHEMA, and this line with it."""
    assert (SCHEMA, len(REQUEST_FEATURES), len(CANDIDATE_FEATURES)) == (2, 17, 25)


def test_times_are_squashed_and_keep_their_sign() -> None:
    assert squash_s(0.1) == pytest.approx(math.log(2) / 4)
    assert squash_s(-0.1) == -squash_s(0.1)
    assert squash_s(math.inf) == squash_s(60.0) < LIMIT


def test_slack_is_after_the_way_back() -> None:
    values = request_values(REQUEST)
    assert values["slack"] == pytest.approx(squash_s(1.5))
    assert values["way_back"] == pytest.approx(squash_s(0.5))
    late = request_values(replace(REQUEST, way_back_s=2.1))
    assert late["slack"] < 0
    assert late["slack_near"] == pytest.approx(-0.4)


def test_the_mix_tells_how_much_heavier_and_tighter_traffic_there_is() -> None:
    values = request_values(URGENT, REQUEST)
    assert (values["own_share"], values["heavier_share"], values["tighter_share"]) == (0.75, 0.25, 0.25)
    assert values["stake"] == pytest.approx(1 / 1.25 / 2)
    assert values["heavier_stake"] == pytest.approx(0.25 * 2 / 1.25 / 2)
    assert values["mean_budget"] == pytest.approx(squash_s(0.25 * 1 + 0.75 * 2))
    assert values["rate_change"] == pytest.approx(math.log(20.1 / 10.1) / 4)


def test_a_class_that_has_sent_nothing_yet_counts_for_nothing() -> None:
    values = request_values(REQUEST)
    assert (values["heavier_share"], values["stake"]) == (0.0, 0.5)


def test_without_a_meter_it_measures_arrivals_itself() -> None:
    alone = replace(REQUEST, arrivals=None)
    assert request_values(alone, alone)["fast_rate"] > request_values(alone)["fast_rate"] > 0
    assert request_values(alone)["own_share"] == 1.0


def test_only_relations_of_weights_and_qualities_count() -> None:
    both = [replace(item, weight=3 * item.weight) for item in (URGENT, REQUEST)]
    assert request_values(*both) == pytest.approx(request_values(URGENT, REQUEST))
    better = replace(CANDIDATE, quality=0.8)
    assert candidate_values(CANDIDATE, others=[better])["quality"] == pytest.approx(0.75)


def test_a_candidate_shows_its_margin_and_its_load() -> None:
    values = candidate_values(CANDIDATE)
    assert values["margin"] == pytest.approx(squash_s(0.5))
    assert values["margin_near"] == 2.0
    assert (values["in_time"], values["batch"], values["opens"], values["quality"]) == (1.0, 0.5, 0.0, 1.0)
    assert values["start"] == pytest.approx(squash_s(1.0 - PROFILE.p95(2)))
    assert values["added"] == pytest.approx(squash_s(PROFILE.p95(2) - PROFILE.p95(1)))
    assert values["fast_load"] == pytest.approx(math.log(2))  # 20 a second where 4 / 0.2 s is the peak
    late = candidate_values(replace(CANDIDATE, predicted_finish_at=11.52))
    assert late["margin_near"] == pytest.approx(-0.08)
    assert late["in_time"] == 0.0


def test_the_margin_of_a_full_batch_is_what_is_left_when_others_join() -> None:
    growth_s = PROFILE.p95(4) - PROFILE.p95(2)
    values = candidate_values(replace(CANDIDATE, predicted_finish_at=11.45))
    assert values["margin_full"] == pytest.approx((0.05 - growth_s) / 0.25)


def test_what_nobody_knows_of_a_candidate_is_zero() -> None:
    values = candidate_values(Candidate("x", "a", 0.5))
    assert {name for name, value in values.items() if value} == {"there", "ready", "quality", "finish", "in_time"}


def test_a_stream_shows_its_step_beside_the_token_deadline() -> None:
    tokens = TokenProfile(0.0, 0.0, ((1, 0.1), (4, 0.4)), max_sequences=4)
    candidate = replace(CANDIDATE, running=1, profile=replace(PROFILE, tokens=tokens))
    values = candidate_values(candidate, replace(REQUEST, token_deadline_s=0.8))
    assert values["step"] == pytest.approx(0.25)
    assert values["added"] == pytest.approx(squash_s(0.1))


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_can_be_left_out(group: str) -> None:
    features = Features(without=[group])
    request, rows = features.encode(REQUEST, [CANDIDATE], now=10.0)
    values = dict(zip((*REQUEST_FEATURES, *CANDIDATE_FEATURES), (*request, *rows[0]), strict=True))
    assert all(values[name] == 0.0 for name in GROUPS[group])
    slack_s = {"network": 2.0, "unposted": 0.0}.get(group, 1.5)
    assert values["slack"] == pytest.approx(squash_s(slack_s))


def test_an_absent_candidate_is_all_zeros() -> None:
    assert (0.0,) * len(CANDIDATE_FEATURES) == ABSENT


def test_nothing_leaves_the_bounds() -> None:
    wild = replace(
        REQUEST,
        weight=1e6,
        deadline_at=math.inf,
        size_bytes=2**31,
        size_tokens=10**6,
        attempt=99,
        arrivals=Arrivals(1e5, 0.0, (("bulk", 1.0),)),
    )
    worst = replace(CANDIDATE, running=10**5, waiting=10**5, slow_down=1e9, predicted_finish_at=1e9, latency_s=1e9)
    features = Features()
    features.encode(replace(wild, weight=0.0), [worst], now=10.0)
    unknown = replace(worst, predicted_finish_at=None)
    request, rows = features.encode(wild, [worst, replace(worst, profile=None), unknown], now=10.0)
    values = [*request, *rows[0], *rows[1], *rows[2]]
    quiet = replace(wild, arrivals=None, attempt=1)
    values += Features().encode(quiet, [unknown], now=10.0)[1][0]
    assert max(map(abs, values)) <= LIMIT
    assert all(map(math.isfinite, values))


def test_a_late_model_is_not_chosen_while_another_would_be_in_time() -> None:
    in_time, late = replace(CANDIDATE, predicted_finish_at=10.1), replace(CANDIDATE, predicted_finish_at=20.0)
    unknown = replace(CANDIDATE, predicted_finish_at=None)
    assert hopeless(REQUEST, [late, in_time, unknown], now=10.0) == {0}
    assert hopeless(REQUEST, [late, unknown], now=10.0) == set()
    assert hopeless(REQUEST, [late, late], now=10.0) == set()
    assert hopeless(REQUEST, [late, replace(in_time, ready=False)], now=10.0) == set()


def test_no_refusal_while_an_idle_model_would_be_in_time() -> None:
    idle = replace(CANDIDATE, running=0, waiting=0)
    assert not may_shed(REQUEST, [idle], now=10.0)
    assert not may_shed(REQUEST, [idle, replace(CANDIDATE, ready=False)], now=10.0)
    assert not may_shed(REQUEST, [CANDIDATE, idle], now=10.0)
    assert not may_shed(REQUEST, [Candidate("unknown", "a", 0.5)], now=10.0)
    assert may_shed(REQUEST, [CANDIDATE], now=10.0)
    assert may_shed(REQUEST, [CANDIDATE, replace(idle, ready=False)], now=10.0)
    assert may_shed(REQUEST, [replace(idle, predicted_finish_at=20.0)], now=10.0)
