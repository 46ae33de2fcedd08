from __future__ import annotations

import math
from dataclasses import replace

from policies.evaluation.tune import TuneJob, combinations, grids, rates, table, tune
from policies.selection.tuning import FINALISTS, TUNABLE
from policies.simulation.arrivals import Stable
from policies.simulation.run import run
from policies.simulation.trace import draw
from tests.unit.policies.simulation.worlds import world

STEADY = replace(world([]), arrivals=Stable((1.0, 6.0), 4.0), seconds=8.0)


def test_knobs_score_what_a_run_scores_and_no_less_than_the_defaults() -> None:
    found = tune(TuneJob(STEADY, "greedy", (900, 901)))
    assert set(found.knobs) == {"margin_sigmas"}
    make = TUNABLE["greedy"].factory(found.knobs)
    assert found.score == sum(run(STEADY, make(), seed).score for seed in (900, 901)) / 2
    assert found.score >= sum(run(STEADY, TUNABLE["greedy"].factory({})(), seed).score for seed in (900, 901)) / 2


def test_the_table_has_the_best_model_of_each_rate() -> None:
    found = table(STEADY, [draw(STEADY, 900)], 900)
    assert [model for _, model in found] == ["large", "small"]
    assert 1.0 < found[0][0] < 6.0
    assert math.isinf(found[-1][0])


def test_model_switching_has_two_grids_and_thresholds_the_rates_of_the_workload() -> None:
    traces = [draw(STEADY, 900)]
    there = rates(traces, STEADY.seconds)
    (measured, fixed), (by_profile, nothing) = grids("model_switching", STEADY, traces, 900)
    assert list(fixed) == ["table"]
    assert set(measured.knobs) == {"hold_s"}
    assert (by_profile, nothing) == (TUNABLE["model_switching"], {})
    [(tunable, fixed)] = grids("thresholds", STEADY, traces, 900)
    assert fixed == {}
    low, high = tunable.knobs["low"], tunable.knobs["high"]
    assert set(low) | set(high) <= set(there)
    assert max(map(float, map(str, low))) <= min(map(float, map(str, high)))
    assert all(callable(tunable.factory(knobs)().choose) for knobs in tunable.grid())
    assert grids("greedy", STEADY, traces, 900) == [(TUNABLE["greedy"], {})]


def test_rates_are_those_that_arrive() -> None:
    at = [second + n / 10 for second in range(10) for n in range(1 + second % 4)]
    found = rates([draw(world(at), 1)], 10.0)
    assert (found[0], found[-1]) == (1.0, 4.0)
    assert found == sorted(set(found))
    assert rates([draw(world([]), 1)], 10.0) == [1.0]


def test_a_search_is_as_long_as_its_grid() -> None:
    assert combinations("greedy") == len(list(TUNABLE["greedy"].grid())) > FINALISTS
