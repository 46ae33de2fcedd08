from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from policies.selection.features import CANDIDATE_FEATURES, REQUEST_FEATURES
from policies.selection.greedy import Greedy
from policies.simulation.env import SelectionEnv
from policies.simulation.workload import Event, Workload
from policies.simulation.workload_file import read_workload
from tests.unit.policies.simulation.worlds import world

SHORT = replace(read_workload("unpredictable"), seconds=5.0)


def play(env: SelectionEnv, action: int, seed: int = 1) -> tuple[float, list[tuple[int, float]], dict[str, Any]]:
    """Always the same action: the sum of rewards, the outcomes, and the last info."""
    _, info = env.reset(seed=seed)
    outcomes, total, over = list(info["outcomes"]), 0.0, False
    while not over:
        _, reward, over, _, info = env.step(np.int64(action))
        total += reward
        outcomes += info["outcomes"]
    return total, outcomes, info


def test_gymnasium_accepts_it() -> None:
    with warnings.catch_warnings():
        # It has no spec, because it is made with a workload instead of by name.
        warnings.simplefilter("ignore", UserWarning)
        check_env(SelectionEnv(SHORT, places=4), skip_render_check=True)


def test_an_observation_has_a_row_for_every_place() -> None:
    env = SelectionEnv(SHORT, places=5)
    observation, info = env.reset(seed=1)
    assert env.places == 5
    assert observation.shape == (len(REQUEST_FEATURES) + 5 * len(CANDIDATE_FEATURES),)
    rows = observation[len(REQUEST_FEATURES) :].reshape(5, -1)
    assert rows[:, 0].tolist() == [1, 1, 1, 0, 0]
    assert info["action_mask"].tolist() == [1, 1, 1, 0, 0, 0]  # idle and in time: not to be refused
    assert info["stake"] in {0.71, 1.42}


def test_one_that_is_not_ready_is_masked_and_one_that_is_busy_allows_to_shed() -> None:
    env = SelectionEnv(world([1.0, 1.5, 1.58], events=[Event(0.1, 9.0, "down", "large")]), places=2)
    _, info = env.reset(seed=1)
    masks = [info["action_mask"].tolist()]
    for _ in range(2):
        _, _, _, _, info = env.step(np.int64(1))
        masks.append(info["action_mask"].tolist())
    assert masks == [[0, 1, 0], [0, 1, 0], [0, 1, 1]]


def test_groups_of_features_can_be_left_out() -> None:
    observation, _ = SelectionEnv(SHORT, places=3, without=["network"]).reset(seed=1)
    assert observation[REQUEST_FEATURES.index("way_back")] == 0.0


def test_a_reference_policy_plays_the_same_arrivals_and_each_request_gets_its_share_of_what_those_near_it_earn() -> (
    None
):
    env = SelectionEnv(world([0.0, 0.02, 9.0]), places=2, reference=Greedy)
    _, info = env.reset(seed=1)
    earned = [info["reference"]]
    for _ in range(2):
        _, _, _, _, info = env.step(np.int64(1))
        earned.append(info["reference"])
    assert earned == pytest.approx([1.2, 1.2, 1.6])  # 1.6 and 0.8 for the first two


def test_the_workload_of_the_episode_can_be_asked_for() -> None:
    env = SelectionEnv(SHORT, places=3)
    assert env.workload is None
    env.reset(seed=1)
    assert env.workload is SHORT


def test_rewards_sum_to_the_run_and_belong_to_decisions() -> None:
    total, outcomes, info = play(SelectionEnv(world([0.0, 1.0, 2.0, 2.01])), 1)
    assert total == pytest.approx(4 * 2 * 0.4)
    assert sorted(number for number, _ in outcomes) == [0, 1, 2, 3]
    assert [reward for _, reward in outcomes] == pytest.approx([0.8] * 4)
    assert info["score"] == pytest.approx(0.5)


def test_shed_and_absent_candidates_earn_nothing() -> None:
    for action in (7, 8):
        total, outcomes, info = play(SelectionEnv(world([0.0, 1.0]), places=8), action)
        assert (total, [reward for _, reward in outcomes], info["score"]) == (0.0, [0.0, 0.0], 0.0)


def test_a_candidate_that_failed_a_request_is_masked_and_the_last_decision_earns() -> None:
    env = SelectionEnv(world([1.0], events=[Event(1.2, 5.0, "down", "large")]), places=2)
    env.reset(seed=1)
    _, _, over, _, info = env.step(np.int64(0))
    assert (over, info["action_mask"].tolist(), info["elapsed_s"]) == (False, [0, 1, 0], pytest.approx(0.15))
    assert info["replaced"] == [0]
    _, reward, over, _, info = env.step(np.int64(1))
    assert over
    assert reward == pytest.approx(0.8)
    assert [number for number, _ in info["outcomes"]] == [1]


def test_episodes_repeat_with_the_seed_and_draw_their_workload() -> None:
    drawn: list[float] = []

    def source(generator: np.random.Generator) -> Workload:
        drawn.append(float(generator.uniform(1.0, 3.0)))
        return replace(SHORT, seconds=drawn[-1])

    first, second = play(SelectionEnv(source), 1, seed=5), play(SelectionEnv(source), 1, seed=5)
    assert first[:2] == second[:2]
    assert drawn[0] == drawn[1]
    assert play(SelectionEnv(source), 1, seed=6)[1] != first[1]


def test_what_can_not_be_played_is_refused() -> None:
    with pytest.raises(gymnasium.error.ResetNeeded):
        SelectionEnv(SHORT).step(np.int64(0))
    with pytest.raises(ValueError, match="3 candidates, and the environment has 2 places"):
        SelectionEnv(SHORT, places=2).reset(seed=1)
    with pytest.raises(ValueError, match="100 episodes in a row have no request"):
        SelectionEnv(world([])).reset(seed=1)
