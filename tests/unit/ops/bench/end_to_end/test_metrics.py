from dataclasses import replace

import pytest

from ops.bench.end_to_end.metrics import metrics, with_simulated
from ops.bench.end_to_end.requests import CUT
from tests.unit.ops.bench.end_to_end.pond import outcomes, scenario


def test_the_score_is_weight_times_quality_of_what_was_on_time() -> None:
    pond = scenario()
    workload = pond.workloads["stable"]
    assert metrics(outcomes(pond, 1), workload)["score"] == pytest.approx(1.0)
    assert metrics(outcomes(pond, 1, model="small"), workload)["score"] == pytest.approx(0.5)
    late = metrics(outcomes(pond, 1, late=3), workload)
    weights = [2.0 if one.traffic_class == "fast" else 1.0 for one in outcomes(pond, 1)]
    assert late["weighted_on_time"] == pytest.approx(1 - sum(weights[:3]) / sum(weights))
    assert late["score"] == pytest.approx(late["weighted_on_time"])
    assert late["models"] == {"large": 1.0, "small": 0.0}


def test_refused_failed_and_cut_requests_are_told_apart() -> None:
    pond = scenario()
    there = list(outcomes(pond, 1))
    for place, status in enumerate((CUT, "RESOURCE_EXHAUSTED", "UNAVAILABLE")):
        there[place] = replace(there[place], status=status, first_s=None, on_time=False, model=None)
    found = metrics(there, pond.workloads["stable"])
    assert found["shed"] == found["failed"] == pytest.approx(1 / len(there))
    assert found["on_time"] == pytest.approx(1 - 3 / len(there))
    assert found["p99_s"] == pytest.approx(0.1)
    assert sum(of["requests"] for of in found["by_class"].values()) == len(there)


def test_nothing_came() -> None:
    pond = scenario()
    there = [replace(one, status=CUT, first_s=None, on_time=False, model=None, tokens=0) for one in outcomes(pond, 1)]
    found = metrics(there, pond.workloads["stable"])
    assert (found["score"], found["p50_s"], found["mean_s"], found["longest_gap_p99_s"]) == (0.0, None, None, None)


def test_the_simulators_figure_stands_beside() -> None:
    both = with_simulated({"score": 0.6}, {"score": 0.65, "on_time": 1.0})
    assert both["simulated"] == {"score": 0.65, "on_time": 1.0}
    assert both["simulated_minus_real"] == pytest.approx(0.05)
