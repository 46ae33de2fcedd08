from __future__ import annotations

import numpy as np
import pytest

from policies.dqn.replay import Transition
from policies.dqn.rollout import RewardSettings, Rollout, mean_stake
from policies.selection.static import Static
from policies.simulation.env import SelectionEnv
from policies.simulation.workload import Event, Workload
from tests.unit.policies.simulation.worlds import world


def played(workload: Workload, actions: list[int], **settings: object) -> tuple[list[Transition], list[float]]:
    rollout = Rollout([SelectionEnv(workload, places=2)], RewardSettings(**settings), seed=1)  # type: ignore[arg-type]
    transitions = [found for action in actions for found in rollout.step(np.array([action]))]
    return transitions, rollout.scores


AT = [0.0, 2.0, 4.0, 6.0]
FOREVER_S = 1e9


def test_rewards_may_be_what_is_lost_against_the_best_model_in_time() -> None:
    transitions, scores = played(world(AT), [1, 0, 1, 0], n_step=2, tau_s=FOREVER_S, baseline="best")
    assert [found.rewards for found in transitions] == pytest.approx([-1.0, -1.5])
    assert [(found.action, found.earned) for found in transitions] == [(1, True), (0, True)]
    assert scores == [pytest.approx(0.75)]


def test_or_what_is_earned() -> None:
    transitions, _ = played(world(AT), [1, 0, 1, 0], n_step=2, tau_s=FOREVER_S, baseline="none")
    assert [found.rewards for found in transitions] == pytest.approx([1.0, 0.5])


def test_or_how_much_more_than_a_reference_policy_earns() -> None:
    environment = SelectionEnv(world(AT), places=2, reference=lambda: Static("small"))
    rollout = Rollout([environment], RewardSettings(n_step=2, tau_s=FOREVER_S), seed=1)
    transitions = [found for action in (1, 0, 1, 0) for found in rollout.step(np.array([action]))]
    assert [found.rewards for found in transitions] == pytest.approx([0.0, -0.5], abs=1e-6)


def test_what_an_explored_decision_earns_is_not_put_down_to_the_one_before() -> None:
    rollout = Rollout([SelectionEnv(world(AT), places=2)], RewardSettings(n_step=2, baseline="none"), seed=1)
    explored = [False, True, False, False]
    found = [item for one in explored for item in rollout.step(np.array([1]), np.array([one]))]
    assert [item.rewards > 0 for item in found] == [False, True]


def test_a_decision_whose_request_failed_there_is_worth_nothing_and_the_next_one_is_judged() -> None:
    failing = world([1.0, 9.0], events=[Event(1.2, 5.0, "down", "large")])
    transitions, _ = played(failing, [0, 1, 0], n_step=1, baseline="best")
    assert [(found.earned, found.rewards) for found in transitions] == [(False, 0.0), (True, pytest.approx(-1.0))]


def test_environments_are_played_in_step_and_repeat_with_the_seed() -> None:
    def run() -> tuple[list[float], list[list[float]]]:
        environments = [SelectionEnv(world([0.0, 1.0, 2.0]), places=2) for _ in range(3)]
        rollout = Rollout(environments, RewardSettings(n_step=1), seed=4)
        found = [item.rewards for _ in range(7) for item in rollout.step(np.array([0, 1, 0]))]
        return found, rollout.observations.tolist()

    assert run() == run()
    assert len(run()[0]) == 3 * 2 * 2  # two whole episodes, without the last decision of each


def test_the_unit_is_what_an_average_request_can_earn() -> None:
    assert mean_stake(world([])) == pytest.approx(2 * 0.8)
