from __future__ import annotations

from dataclasses import replace

import pytest

from policies.selection.registry import make_policy
from policies.simulation.run import run, run_late
from policies.simulation.trace import draw
from policies.simulation.workload_file import read_workload
from tests.unit.policies.simulation.worlds import world

SHORT = replace(read_workload("unpredictable"), seconds=10.0)


def test_the_same_arguments_give_the_same_result() -> None:
    assert run(SHORT, make_policy("greedy"), 3) == run(SHORT, make_policy("greedy"), 3)
    assert run(SHORT, make_policy("greedy"), 3) != run(SHORT, make_policy("greedy"), 4)


def test_at_a_trickle_the_large_model_earns_everything_and_in_a_crowd_nothing() -> None:
    trickle = world([float(second) for second in range(20)])
    assert run(trickle, make_policy("static:large"), 1).score == pytest.approx(1.0)
    assert run(trickle, make_policy("static:small"), 1).score == pytest.approx(0.5)
    crowd = world([second / 20 for second in range(400)])
    assert run(crowd, make_policy("static:large"), 1).score < 0.1
    assert run(crowd, make_policy("static:small"), 1).score == pytest.approx(0.5)


def test_greedy_is_between_them_and_the_bound_of_one() -> None:
    result = run(SHORT, make_policy("greedy"), 1)
    assert run(SHORT, make_policy("static:small"), 1).score < result.score < 1.0
    assert result.policy == "greedy"


def test_every_request_ends_whichever_way_it_is_decided() -> None:
    for name in ("greedy", "least_loaded"):
        result = run(SHORT, make_policy(name), 1)
        assert sum(result.models.values()) + result.shed + result.failed > 1 - 1e-9


def test_a_trace_may_be_given() -> None:
    assert run(SHORT, make_policy("greedy"), 3, trace=draw(SHORT, 3)) == run(SHORT, make_policy("greedy"), 3)


def test_deciding_late_ends_every_request_and_earns_more_than_greedy() -> None:
    result = run_late(SHORT, 1)
    assert result == run_late(SHORT, 1, trace=draw(SHORT, 1))
    assert result.policy == "late"
    assert sum(result.models.values()) + result.shed + result.failed == pytest.approx(1.0)
    assert result.score > run(SHORT, make_policy("greedy"), 1).score


def test_a_policy_that_decides_late_has_requests_wait_but_for_token_streams() -> None:
    assert run(SHORT, make_policy("late"), 1) == run_late(SHORT, 1)
    tokens = replace(read_workload("tokens"), seconds=2.0)
    assert run(tokens, make_policy("late"), 1) == replace(run(tokens, make_policy("greedy"), 1), policy="late")


def test_token_streams_are_not_decided_late() -> None:
    with pytest.raises(ValueError, match="streams tokens"):
        run_late(read_workload("tokens"), 1)
