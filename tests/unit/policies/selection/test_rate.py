from __future__ import annotations

import pytest

from policies.selection.base import Arrivals, Request
from policies.selection.rate import ArrivalRate


def test_measured_rates_are_taken_as_they_are() -> None:
    measured = Arrivals(20.0, 5.0)
    assert ArrivalRate().seen(Request("llm", arrivals=measured), now=3.0) is measured


def test_without_them_requests_are_counted_and_second_tries_are_not() -> None:
    rate = ArrivalRate()
    for n in range(100):
        rate.seen(Request("llm"), now=n * 0.1)
        rate.seen(Request("llm", attempt=1), now=n * 0.1)
    assert rate.seen(Request("llm", attempt=1), now=9.9).fast_rate == pytest.approx(10.0, rel=0.1)
