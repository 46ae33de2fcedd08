from __future__ import annotations

import pytest

from policies.evaluation.bounds import EXACT_REQUESTS, bound_of
from policies.simulation.clairvoyant import best_score
from policies.simulation.trace import draw
from tests.unit.policies.simulation.worlds import streams, world


def test_a_small_trace_has_the_exact_bound() -> None:
    # Both at once: the large model answers them in one batch, in 0.6 s of the 0.9 s that they have.
    described = world([0.0, 0.0])
    bound = bound_of(described, draw(described, 1))
    assert bound.exact
    assert bound.score == pytest.approx(1.0)
    assert bound.reached == pytest.approx(1.0)
    # Four: two at the large one, two at the small one, of half its quality.
    described = world([0.0] * 4)
    assert bound_of(described, draw(described, 1)).score == pytest.approx(0.75)


def test_a_long_trace_has_the_relaxed_bound() -> None:
    described = world([n / 8 for n in range(EXACT_REQUESTS + 1)])
    trace = draw(described, 1)
    bound = bound_of(described, trace)
    assert (bound.exact, bound.reached) == (False, None)
    assert best_score(described, trace) <= bound.score + 1e-6 <= 1.0 + 1e-6


def test_token_streams_have_the_relaxed_bound() -> None:
    described = streams([0.0, 1.0])
    assert not bound_of(described, draw(described, 1)).exact


def test_without_requests_nothing_can_be_earned() -> None:
    described = world([])
    assert bound_of(described, draw(described, 1)).score == 0.0
