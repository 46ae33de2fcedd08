from __future__ import annotations

import numpy as np
import pytest

from policies.simulation.distribution import Constant, Distribution, Lognormal, Recorded, Uniform


def drawn(distribution: Distribution, count: int = 4000) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return distribution.draw(np.random.default_rng(1), count)


def test_a_constant_is_one() -> None:
    assert set(drawn(Constant(0.05)).tolist()) == {0.05}


def test_uniform_values_fill_their_range() -> None:
    values = drawn(Uniform(2.0, 4.0))
    assert 2.0 <= values.min() < 2.01
    assert 3.99 < values.max() <= 4.0


def test_a_lognormal_has_its_median_and_spread() -> None:
    logs = np.log(drawn(Lognormal(0.1, 0.5)))
    assert float(np.median(logs)) == pytest.approx(np.log(0.1), abs=0.03)
    assert float(logs.std()) == pytest.approx(0.5, rel=0.05)


def test_recorded_values_repeat() -> None:
    assert drawn(Recorded((1.0, 2.0, 3.0)), 5).tolist() == [1.0, 2.0, 3.0, 1.0, 2.0]
