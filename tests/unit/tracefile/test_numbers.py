import math

import pytest

from proxy.tracefile.numbers import milliseconds, percent, times


@pytest.mark.parametrize(
    ("value", "text"), [(0.0523, "0.05"), (-0.5, "-0.50"), (1.04, "1.0"), (999.4, "999.4"), (1234.5, "1234")]
)
def test_milliseconds(value: float, text: str) -> None:
    assert milliseconds(value) == text
    assert milliseconds(math.nan) == "–"


def test_a_share_is_never_rounded_up_to_all() -> None:
    assert (percent(9999, 10000), percent(3, 3), percent(0, 0)) == ("99.9 %", "100.0 %", "–")


def test_one_time_or_two() -> None:
    assert (times(1000, 1000.2), times(20, 1000)) == ("1000", "20.0…1000")
