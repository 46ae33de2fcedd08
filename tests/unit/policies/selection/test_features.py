from __future__ import annotations

import math
from dataclasses import replace

import pytest

from policies.profile import Profile, TokenProfile
from policies.selection.base import Arrivals, Candidate, Request
from policies.selection.features import (
    ABSENT,
    CANDIDATE_FEATURES,
    LIMIT,
    REQUEST_FEATURES,
    SCHEMA,
    Features,
    squash_s,
)
from policies.traffic import TrafficClass

CLASSES = {
    "realtime": TrafficClass("realtime", 1.0, weight=2.0),
    "bulk": TrafficClass("bulk", 7.0, weight=1.0),
}
PROFILE = Profile(((1, 0.1), (4, 0.2)))
ARRIVALS = Arrivals(20.0, 10.0, (("realtime", 0.25), ("bulk", 0.75)))
REQUEST = Request("llm", "bulk", 1.0, deadline_at=12.0, way_back_s=0.5, size_bytes=8192, arrivals=ARRIVALS)
CANDIDATE = Candidate("large", "a", 0.7, running=3, waiting=2, batch=2, predicted_finish_at=11.0, profile=PROFILE)


def request_values(request: Request) -> dict[str, float]:
    return dict(zip(REQUEST_FEATURES, Features(CLASSES).request(request, now=10.0), strict=True))


def candidate_values(candidate: Candidate, request: Request = REQUEST) -> dict[str, float]:
    return dict(zip(CANDIDATE_FEATURES, Features(CLASSES).candidate(candidate, request, now=10.0), strict=True))


def test_the_schema_is_pinned_to_the_names() -> None:
    """Whoever changes names, order or meaning raises SCHEMA, and this line with it."""
    assert (SCHEMA, len(REQUEST_FEATURES), len(CANDIDATE_FEATURES)) == (1, 15, 18)


def test_times_are_squashed_and_keep_their_sign() -> None:
    assert squash_s(0.1) == pytest.approx(math.log(2) / 4)
    assert squash_s(-0.1) == -squash_s(0.1)
    assert squash_s(math.inf) == squash_s(60.0) < LIMIT


def test_slack_is_after_the_way_back() -> None:
    values = request_values(REQUEST)
    assert values["slack"] == pytest.approx(squash_s(1.5))
    assert values["way_back"] == pytest.approx(squash_s(0.5))
    assert request_values(replace(REQUEST, way_back_s=2.5))["slack"] < 0


def test_the_mix_tells_how_much_heavier_traffic_there_is() -> None:
    values = request_values(REQUEST)
    assert (values["own_share"], values["heavier_share"]) == (0.75, 0.25)
    assert values["mean_weight"] == pytest.approx(1.25 / 4)
    assert values["rate_change"] == pytest.approx(math.log(20.1 / 10.1) / 4)
    assert request_values(replace(REQUEST, arrivals=None))["fast_rate"] == 0.0


def test_a_candidate_shows_its_margin_and_its_load() -> None:
    values = candidate_values(CANDIDATE)
    assert values["margin"] == pytest.approx(squash_s(0.5))
    assert (values["in_time"], values["batch"], values["quality"]) == (1.0, 0.5, 0.7)
    assert values["fast_load"] == pytest.approx(math.log(2))  # 20 a second where 4 / 0.2 s is the peak
    late = candidate_values(replace(CANDIDATE, predicted_finish_at=12.0))
    assert late["margin"] == pytest.approx(squash_s(-0.5))
    assert late["in_time"] == 0.0


def test_what_nobody_knows_of_a_candidate_is_zero() -> None:
    values = candidate_values(Candidate("x", "a", 0.5))
    assert values["margin"] == values["alone"] == values["latency"] == values["gpu_load"] == values["step"] == 0.0


def test_a_stream_shows_its_step_beside_the_token_deadline() -> None:
    tokens = TokenProfile(0.0, 0.0, ((1, 0.1), (4, 0.4)), max_sequences=4)
    candidate = replace(CANDIDATE, running=1, profile=replace(PROFILE, tokens=tokens))
    assert candidate_values(candidate, replace(REQUEST, token_deadline_s=0.8))["step"] == pytest.approx(0.25)


def test_the_flat_form_has_places_for_the_absent() -> None:
    features = Features(CLASSES)
    flat = features.flat(REQUEST, [None, CANDIDATE], places=3, now=10.0)
    size, start = len(CANDIDATE_FEATURES), len(REQUEST_FEATURES)
    rows = [flat[start + place * size : start + (place + 1) * size] for place in range(3)]
    assert flat[:start] == features.request(REQUEST, now=10.0)
    assert (tuple(rows[0]), tuple(rows[2])) == (ABSENT, ABSENT)
    assert rows[1] == features.candidate(CANDIDATE, REQUEST, now=10.0)
    assert len(flat) == start + 3 * size


def test_nothing_leaves_the_bounds() -> None:
    wild = replace(
        REQUEST,
        weight=1e6,
        deadline_at=math.inf,
        size_bytes=2**31,
        size_tokens=10**6,
        attempt=99,
        arrivals=Arrivals(1e5, 0.0),
    )
    worst = replace(CANDIDATE, running=10**5, waiting=10**5, slow_down=1e9, predicted_finish_at=1e9, latency_s=1e9)
    flat = Features(CLASSES).flat(wild, [worst], places=1, now=10.0)
    assert max(map(abs, flat)) <= LIMIT
    assert all(map(math.isfinite, flat))
