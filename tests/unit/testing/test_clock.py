from __future__ import annotations

import math

import pytest

from proxy.testing.clock import ManualClock


def test_it_stands_still_until_told() -> None:
    clock = ManualClock(now=100.0)
    assert clock.now() == 100.0
    clock.advance(0.5)
    clock.advance(0.0)
    assert clock.now() == 100.5
    assert repr(clock) == "<ManualClock 100.5>"


@pytest.mark.parametrize("seconds", [-0.001, math.nan])
def test_it_does_not_go_back(seconds: float) -> None:
    clock = ManualClock(now=7.0)
    with pytest.raises(ValueError, match="<ManualClock 7> can't advance"):
        clock.advance(seconds)
    assert clock.now() == 7.0
