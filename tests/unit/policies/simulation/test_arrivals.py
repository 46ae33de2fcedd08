from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from policies.simulation.arrivals import Arrivals, Diurnal, Flash, Mmpp, RecordedTimes, Stable, Unpredictable
from policies.simulation.distribution import Values


def times(arrivals: Arrivals, seconds: float = 100.0, seed: int = 1) -> Values:
    return arrivals.times(np.random.default_rng(seed), seconds)


def rate(values: Values, start: float, end: float) -> float:
    return float(((values >= start) & (values < end)).sum()) / (end - start)


ALL: list[Callable[[], Arrivals]] = [
    lambda: Stable((5.0, 20.0), 3.0),
    lambda: Unpredictable((4.0, 40.0), (0.5, 8.0)),
    lambda: Unpredictable((4.0, 40.0), (0.5, 8.0), "loguniform"),
    lambda: Mmpp((5.0, 80.0, 20.0), (1.0, 2.0, 3.0)),
    lambda: Mmpp((5.0,), (1.0,)),
    lambda: Diurnal(5.0, 50.0, 20.0),
    lambda: Flash(10.0, 50.0, 20.0, 5.0),
]


@pytest.mark.parametrize("make", ALL)
def test_times_ascend_within_the_run_and_repeat_with_the_seed(make: Callable[[], Arrivals]) -> None:
    values = times(make())
    assert len(values) > 100
    assert (np.diff(values) >= 0).all()
    assert 0 <= values[0] < values[-1] < 100.0
    assert (times(make()) == values).all()
    assert len(times(make(), seed=2)) != len(values)


def test_stable_rates_hold_in_turn() -> None:
    values = times(Stable((100.0, 400.0), 10.0), 40.0)
    measured = [rate(values, start, start + 10) for start in (0, 10, 20, 30)]
    assert measured == pytest.approx([100, 400, 100, 400], rel=0.1)


def test_a_flash_crowd_comes_and_goes() -> None:
    values = times(Flash(50.0, 500.0, 20.0, 10.0), 60.0)
    assert rate(values, 0, 20) == pytest.approx(50, rel=0.15)
    assert rate(values, 20, 30) == pytest.approx(500, rel=0.1)
    assert rate(values, 30, 60) == pytest.approx(50, rel=0.15)


def test_a_day_has_its_peak_in_the_middle() -> None:
    values = times(Diurnal(20.0, 420.0, 100.0))
    assert rate(values, 0, 5) < 40
    assert rate(values, 45, 55) == pytest.approx(415, rel=0.1)
    assert len(values) == pytest.approx(220 * 100, rel=0.05)


def test_unpredictable_rates_stay_within_their_range() -> None:
    values = times(Unpredictable((200.0, 600.0), (5.0, 10.0)), 200.0)
    measured = [rate(values, start, start + 2) for start in range(0, 200, 2)]
    assert 130 < min(measured) < 300
    assert 500 < max(measured) < 700


def test_loguniform_rates_are_lower_in_the_mean() -> None:
    log = times(Unpredictable((1.0, 400.0), (0.5, 1.0), "loguniform"), 300.0)
    assert rate(log, 0, 300) == pytest.approx(399 / np.log(400), rel=0.25)


def test_states_of_mmpp_share_the_time_by_their_mean_hold() -> None:
    values = times(Mmpp((10.0, 100.0), (3.0, 1.0)), 2000.0)
    assert rate(values, 0, 2000) == pytest.approx(32.5, rel=0.15)


def test_recorded_times_are_taken_as_they_are() -> None:
    assert times(RecordedTimes((0.5, 1.5, 99.0)), 50.0).tolist() == [0.5, 1.5]
