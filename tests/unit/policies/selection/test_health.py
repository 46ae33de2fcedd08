"""Readiness and errors of a candidate."""

from __future__ import annotations

import pytest

from policies.selection.health import Health


def test_without_news_a_model_is_ready_and_without_errors() -> None:
    health = Health()
    assert health.ready(now=0.0)
    assert health.error_rate(now=0.0) == 0.0


def test_a_model_found_away_is_tried_again_after_a_second() -> None:
    health = Health()
    health.away(now=5.0)
    assert not health.ready(now=5.9)
    assert health.ready(now=6.0)


def test_a_probe_holds_three_seconds_and_is_not_shortened_by_a_request() -> None:
    health = Health()
    health.probed(ready=False, now=5.0)
    health.away(now=5.5)
    assert not health.ready(now=7.9)
    assert health.ready(now=8.0)


def test_errors_count_by_a_fifth_and_are_forgotten_by_half_in_ten_seconds() -> None:
    health = Health()
    health.count(failed=True, now=0.0)
    assert health.error_rate(now=0.0) == pytest.approx(0.2)
    assert health.error_rate(now=10.0) == pytest.approx(0.1)
    health.count(failed=False, now=10.0)
    assert health.error_rate(now=10.0) == pytest.approx(0.08)
