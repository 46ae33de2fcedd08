from __future__ import annotations

import pytest

from policies.selection.arrivals import ArrivalMeter


def steady(meter: ArrivalMeter, rate: float, start: float, seconds: float, classes: str = "a") -> float:
    count = round(rate * seconds)
    for number in range(count):
        meter.arrived(classes[number % len(classes)], now=start + number / rate)
    return start + seconds


def test_nothing_is_known_before_the_first_request() -> None:
    arrivals = ArrivalMeter().arrivals(now=3.0)
    assert (arrivals.fast_rate, arrivals.slow_rate, arrivals.class_mix) == (0.0, 0.0, ())


def test_both_rates_find_a_steady_one_from_the_start() -> None:
    meter = ArrivalMeter()
    arrivals = meter.arrivals(now=steady(meter, 50.0, 0.0, 4.0))
    assert arrivals.fast_rate == pytest.approx(50, rel=0.05)
    assert arrivals.slow_rate == pytest.approx(50, rel=0.05)


def test_the_fast_rate_follows_a_change_within_seconds_and_the_slow_one_does_not() -> None:
    meter = ArrivalMeter()
    change_at = steady(meter, 10.0, 0.0, 100.0)
    arrivals = meter.arrivals(now=steady(meter, 100.0, change_at, 3.0))
    assert arrivals.fast_rate == pytest.approx(95.7, rel=0.02)  # 100 - 90 e^-3
    assert arrivals.slow_rate == pytest.approx(18.6, rel=0.05)  # 100 - 90 e^-0.1


def test_rates_fade_in_silence() -> None:
    meter = ArrivalMeter()
    end = steady(meter, 50.0, 0.0, 10.0)
    assert meter.arrivals(now=end + 5).fast_rate < 0.5


def test_the_mix_is_of_the_last_tens_of_seconds() -> None:
    meter = ArrivalMeter()
    change_at = steady(meter, 20.0, 0.0, 2000.0, "aab")
    shares = dict(meter.arrivals(now=change_at).class_mix)
    assert shares["a"] == pytest.approx(2 / 3, abs=0.01)
    shares = dict(meter.arrivals(now=steady(meter, 20.0, change_at, 90.0, "b")).class_mix)
    assert shares["a"] == pytest.approx(2 / 3 * 0.05, abs=0.01)  # e^-3
    assert sum(shares.values()) == pytest.approx(1)
