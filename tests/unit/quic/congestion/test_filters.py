"""The largest value of a sliding window."""

from __future__ import annotations

from proxy.quic.congestion.filters import WindowedMax


def test_the_largest_value_is_kept_for_as_long_as_the_window() -> None:
    window = WindowedMax(3)
    values = [(0, 5.0), (1, 9.0), (2, 4.0), (3, 6.0), (4, 1.0), (5, 2.0), (6, 3.0)]
    assert [window.update(value, time=time) for time, value in values] == [5.0, 9.0, 9.0, 9.0, 6.0, 6.0, 3.0]


def test_nothing_is_nought() -> None:
    window = WindowedMax(3)
    before = window.value
    window.update(7.0, time=1)
    window.clear()
    assert (before, window.value, repr(window)) == (0.0, 0.0, "<WindowedMax 0 of 3>")
