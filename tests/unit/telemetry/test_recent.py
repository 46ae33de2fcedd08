from __future__ import annotations

import math
import random

import pytest

from proxy.telemetry.recent import STRETCH_S, WINDOW_S, RecentDurations, RecentHistogram


def filled(*durations_s: float, at: float = 1000.0) -> RecentHistogram:
    histogram = RecentHistogram()
    for duration_s in durations_s:
        histogram.observe(duration_s, at=at)
    return histogram


def test_without_a_call_there_is_no_percentile() -> None:
    recent = RecentHistogram().look(now=5.0)
    assert recent.count == 0
    assert math.isnan(recent.p50_s)
    assert math.isnan(recent.p99_s)


@pytest.mark.parametrize("scale_s", [0.001, 0.05, 1.0, 20.0])
def test_percentiles_are_right_to_5_percent(scale_s: float) -> None:
    rng = random.Random(7)
    durations_s = sorted(scale_s * rng.lognormvariate(0, 0.3) for _ in range(2000))
    recent = filled(*durations_s).look(now=1001.0)
    assert recent.count == 2000
    assert recent.p50_s == pytest.approx(durations_s[1000], rel=0.05)
    assert recent.p99_s == pytest.approx(durations_s[1980], rel=0.05)


def test_one_call_is_its_own_percentile() -> None:
    recent = filled(0.1).look(now=1000.0)
    assert recent.count == 1
    assert recent.p50_s == recent.p99_s == pytest.approx(0.1, rel=0.05)


def test_what_is_off_the_scale_is_at_its_end() -> None:
    recent = filled(1e6).look(now=1000.0)
    assert 61.0 <= recent.p50_s <= 71.0
    assert filled(0.0, -1.0).look(now=1000.0).p99_s <= 0.0005


def test_old_calls_are_forgotten_stretch_by_stretch() -> None:
    histogram = RecentHistogram()
    for number in range(6):
        histogram.observe(0.1, at=1000.0 + number * STRETCH_S)
    # The newest stretch began at 1025.
    assert [histogram.look(now=now).count for now in (1025.0, 1029.9, 1030.0, 1035.0, 1049.9, 1055.0)] == [
        6,
        6,
        5,
        4,
        2,
        0,
    ]


def test_a_long_pause_forgets_everything_and_the_next_call_counts() -> None:
    histogram = filled(0.1, 0.2, at=1000.0)
    histogram.observe(0.4, at=1000.0 + 100 * WINDOW_S)
    recent = histogram.look(now=1000.0 + 100 * WINDOW_S)
    assert recent == RecentDurations(1, recent.p50_s, recent.p99_s)
    assert recent.p99_s == pytest.approx(0.4, rel=0.05)
    assert repr(histogram) == "<RecentHistogram 1 values>"
