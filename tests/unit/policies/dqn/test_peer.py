from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from policies.dqn.peer import ByValues, InAverageRequests, compare, main
from policies.dqn.rollout import mean_stake
from policies.simulation.env import Observation, SelectionEnv
from policies.simulation.run import run
from policies.simulation.workload_file import read_workload

WORKLOAD = replace(read_workload("stable"), seconds=30.0)
MODELS = [candidate.model for candidate in WORKLOAD.candidates]
PLACES = 5


def of_places(observation: Observation) -> Any:
    """The first is best; those without a candidate and shedding come last."""
    assert observation.shape == SelectionEnv(WORKLOAD, places=PLACES).observation_space.shape
    return np.arange(PLACES + 1, 0, -1, np.float32)


def test_it_observes_what_the_environment_does() -> None:
    environment = SelectionEnv(WORKLOAD, places=PLACES)
    observation, _ = environment.reset(seed=3)
    simulation = environment._simulation
    assert simulation is not None
    request, candidates = simulation.view()
    peer = ByValues(of_places, models=MODELS, places=PLACES)
    # The other way round: places are those of the workload.
    seen = peer.observe(request, list(reversed(candidates)), now=simulation.now)
    rows = slice(observation.size - PLACES * 25, None)
    assert (seen[rows] == observation[rows]).all()


def test_the_highest_value_that_is_allowed_is_chosen() -> None:
    best_first = run(WORKLOAD, ByValues(of_places, models=MODELS, places=PLACES), 1)
    worst_first = run(WORKLOAD, ByValues(lambda seen: -of_places(seen), models=MODELS, places=PLACES), 1)
    # With five requests a second the large model can have nearly all.
    assert best_first.models["large"] > 0.8
    assert worst_first.models["large"] < 0.2


def test_rewards_are_in_average_requests() -> None:
    plain, wrapped = SelectionEnv(WORKLOAD, places=PLACES), InAverageRequests(SelectionEnv(WORKLOAD, places=PLACES))
    plain.reset(seed=4)
    wrapped.reset(seed=4)
    rewards = [(plain.step(np.int64(0))[1], float(wrapped.step(np.int64(0))[1])) for _ in range(40)]
    assert sum(reward for reward, _ in rewards) > 0
    assert [reward / mean_stake(WORKLOAD) for reward, _ in rewards] == pytest.approx([reward for _, reward in rewards])


@pytest.mark.slow
def test_it_is_scored_beside_the_shipped_policy_and_greedy() -> None:
    results = compare(of_places, PLACES, [7])
    assert list(results) == ["stable-baselines3", "headway, as shipped", "greedy"]
    for workload in ("stable", "unpredictable"):
        mean = {name: scores[workload]["mean"] for name, scores in results.items()}
        assert mean["headway, as shipped"] > mean["greedy"] > mean["stable-baselines3"] > 0


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    with pytest.raises(SystemExit, match=r"pip install 'headway\[peer\]'"):
        main(["--out", "x", "--decisions", "1"])
