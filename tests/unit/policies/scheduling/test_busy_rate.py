from __future__ import annotations

import pytest

from policies.scheduling.busy_rate import BusyRate


def busy(seconds: float, *, rate: float, start: float = 100.0, meter: BusyRate | None = None) -> BusyRate:
    """A link that takes a packet of 1000 bytes at a time."""
    meter = meter or BusyRate()
    meter.begin(start)
    for packet in range(int(seconds * rate / 1000)):
        meter.sent(1000)
        meter.measure(start + packet * 1000 / rate, rtt_s=0.1)
    return meter


def test_nothing_is_known_of_an_idle_link() -> None:
    assert BusyRate().measure(100.0, rtt_s=0.1) == (0.0, False)


def test_nothing_is_known_before_a_round_trip_is_over() -> None:
    assert busy(0.09, rate=100_000).measure(100.09, rtt_s=0.1) == (0.0, False)
    assert BusyRate().measure(100.0, rtt_s=0.0) == (0.0, False)


@pytest.mark.parametrize(("busy_s", "rtt_s", "settled"), [(0.4, 0.1, False), (0.6, 0.1, True), (0.6, 0.2, False)])
def test_it_is_settled_after_half_a_window(busy_s: float, rtt_s: float, settled: bool) -> None:
    """Which is a second, or eight round trips if they are longer."""
    rate = busy(busy_s, rate=100_000).measure(100.0 + busy_s, rtt_s=rtt_s)
    assert rate == pytest.approx((100_000, settled))


def test_a_break_starts_afresh() -> None:
    meter = busy(3.0, rate=100_000)
    meter.end()
    assert meter.measure(103.1, rtt_s=0.1) == (0.0, False)
    busy(0.6, rate=50_000, start=104.0, meter=meter)
    assert meter.measure(104.6, rtt_s=0.1) == pytest.approx((50_000, True))


def test_more_to_send_is_no_break() -> None:
    meter = busy(0.5, rate=100_000)
    meter.begin(100.5)
    assert meter.measure(100.5, rtt_s=0.1) == pytest.approx((100_000, True))


def test_it_speaks_for_the_last_two_windows_at_most() -> None:
    meter = busy(5.0, rate=100_000)
    for packet in range(100):
        meter.sent(1000)
        meter.measure(105.0 + packet / 50, rtt_s=0.1)
    assert meter.measure(107.0, rtt_s=0.1) == pytest.approx((50_000, True), rel=0.02)
