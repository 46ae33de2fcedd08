"""The simulator's models alone."""

from __future__ import annotations

import pytest

from ops.emulated.expected import expected
from policies.profile import Profile, TokenProfile


def test_whole_answers_come_in_batches() -> None:
    said = expected(Profile(((1, 0.1), (4, 0.2))), [0.0, 0.01, 0.02, 1.0], seed=1)
    assert said.last_at == pytest.approx({0: 0.1, 1: 0.1 + 2 / 15, 2: 0.1 + 2 / 15, 3: 1.1})
    assert said.first_at == said.last_at
    assert said.batches == [1, 2, 1]


def test_token_streams_have_gaps() -> None:
    profile = Profile(((1, 1.0),), tokens=TokenProfile(0.001, 0.01, ((1, 0.05), (2, 0.06)), 2))
    said = expected(profile, [0.0, 0.1], prompts=[10, 10], answers=[4, 2], seed=1)
    assert said.first_at == pytest.approx({0: 0.02, 1: 0.14})
    assert said.last_at == pytest.approx({0: 0.2, 1: 0.2})
    assert said.longest_gap_s == pytest.approx({0: 0.08, 1: 0.06})
