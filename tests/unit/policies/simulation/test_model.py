from __future__ import annotations

import numpy as np
import pytest

from policies.simulation.model import Spread


def test_the_spread_has_median_one_and_the_deviation_asked_for() -> None:
    spread = Spread(0.2, np.random.default_rng(1))
    factors = np.array([spread.next() for _ in range(5000)])
    assert float(np.median(factors)) == pytest.approx(1, abs=0.02)
    assert float(factors.std() / factors.mean()) == pytest.approx(0.2, rel=0.05)


def test_without_deviation_there_is_no_spread() -> None:
    spread = Spread(0.0, np.random.default_rng(1))
    assert {spread.next() for _ in range(10)} == {1.0}
