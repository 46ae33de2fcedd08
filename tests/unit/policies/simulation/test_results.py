from __future__ import annotations

import pytest

from policies.simulation.results import FAILED, SHED, Outcome, mean_and_interval, student_95, summarise
from policies.simulation.trace import draw
from tests.unit.policies.simulation.worlds import world


def test_a_run_is_summed_up() -> None:
    workload = world([0.0, 1.0, 2.0, 90.0])
    outcome = Outcome(4)
    outcome.candidate = [0, 1, SHED, FAILED]
    outcome.on_time = [True, False, False, False]
    outcome.reward = [1.6, 0.0, 0.0, 0.0]
    outcome.finished_at = [0.5, 3.0, float("nan"), float("nan")]
    result = summarise(workload, "p", 7, draw(workload, 7), outcome)
    assert (result.workload, result.policy, result.seed, result.requests) == ("world", "p", 7, 4)
    assert result.score == pytest.approx(0.25)
    assert (result.on_time, result.weighted_on_time, result.shed, result.failed) == (0.25, 0.25, 0.25, 0.25)
    assert result.models == {"large": 0.25, "small": 0.25}
    assert result.p50_s == pytest.approx(1.25)
    only = result.by_class["only"]
    assert (only.weight, only.requests, only.on_time, only.shed, only.mean_s) == (2.0, 4, 0.25, 0.25, 1.25)
    assert result.mix[0].rate == pytest.approx(2 / (100 / 60))
    assert result.mix[0].share == {"large": 0.5, "small": 0.5, "shed": 0.0, "failed": 0.0}
    assert result.mix[54].share["failed"] == 1.0


def test_a_run_without_requests_has_no_latency() -> None:
    workload = world([])
    result = summarise(workload, "p", 1, draw(workload, 1), Outcome(0))
    assert (result.requests, result.score, result.p50_s) == (0, 0.0, None)


def test_the_interval_is_of_the_mean() -> None:
    assert mean_and_interval([1.0]) == (1.0, 0.0)
    assert mean_and_interval([1.0, 3.0]) == pytest.approx((2.0, 12.706))
    assert mean_and_interval([1.0, 2.0, 3.0]) == pytest.approx((2.0, 4.303 / 3**0.5))


@pytest.mark.parametrize(("freedom", "point"), [(1, 12.706), (10, 2.228), (11, 2.201), (19, 2.093), (120, 1.980)])
def test_the_interval_has_the_points_of_the_table(freedom: int, point: float) -> None:
    assert student_95(freedom) == pytest.approx(point, abs=0.001)
