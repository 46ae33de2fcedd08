"""What the rate under load is; tests/triton/test_emulated.py measures."""

from __future__ import annotations

import pytest

from ops.emulated.fidelity import ANSWER_TOKENS, MOST_TOKENS_PER_S, PROMPT_TOKENS, peak_rate
from ops.emulated.repository import EmulatedModel
from policies.profile import Profile, TokenProfile


def test_the_most_that_a_model_answers() -> None:
    assert peak_rate(EmulatedModel("a", Profile(((1, 0.1), (4, 0.2)), instances=2))) == pytest.approx(40.0)
    slow = TokenProfile(0.01, 0.0, ((1, 0.5), (2, 1.0)), 2)
    seconds = 2 * 0.01 * PROMPT_TOKENS + ANSWER_TOKENS * 1.0
    assert peak_rate(EmulatedModel("b", Profile(((1, 1.0),), tokens=slow))) == pytest.approx(2 / seconds)
    quick = TokenProfile(0.0, 0.0, ((1, 0.001), (64, 0.002)), 64)
    model = EmulatedModel("c", Profile(((1, 1.0),), tokens=quick))
    assert peak_rate(model) == pytest.approx(MOST_TOKENS_PER_S / ANSWER_TOKENS)
