from __future__ import annotations

from random import Random

import pytest

from proxy.profiling.samples import LEAST, is_known, point


def test_a_point_has_the_statistics_of_its_samples() -> None:
    found = point("batch", 4, [0.2, 0.1, 0.3, 0.2])
    assert (found.kind, found.at, found.samples) == ("batch", 4, 4)
    assert [found.median_s, found.mean_s, found.p95_s] == pytest.approx([0.2, 0.2, 0.3])
    assert found.deviation_s == pytest.approx(0.02**0.5 / 2)


def test_the_95th_percentile_is_the_nearest_rank() -> None:
    assert point("batch", 1, [float(n) for n in range(1, 101)]).p95_s == 95.0


def test_few_samples_are_never_enough() -> None:
    assert not is_known([0.1] * (LEAST - 1))
    assert is_known([0.1] * LEAST)


def test_more_samples_make_a_noisy_median_known() -> None:
    generator = Random(1)
    samples = [generator.lognormvariate(0, 0.1) for _ in range(1000)]
    assert not is_known(samples[:20])
    assert is_known(samples)


def test_a_few_outliers_do_not_matter() -> None:
    assert is_known([0.1] * 40 + [5.0] * 4)
