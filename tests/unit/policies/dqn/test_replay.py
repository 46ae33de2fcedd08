from __future__ import annotations

import math

import numpy as np
import pytest

from policies.dqn.replay import Replay, Trajectory, Transition

MASK = np.array([True, True])


def observation(value: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.array([value], np.float32)


def played(times: list[float], *, n_step: int, tau_s: float = 2.0) -> Trajectory:
    trajectory = Trajectory(n_step=n_step, tau_s=tau_s)
    for number, at in enumerate(times):
        trajectory.begin(observation(number), MASK, at=at)
        trajectory.act(number % 2)
    return trajectory


def test_rewards_are_discounted_by_the_time_between_decisions() -> None:
    trajectory = played([0.0, 1.0, 3.0], n_step=2)
    trajectory.outcome(0, 1.0, baseline=0.5)
    trajectory.outcome(1, 10.0, baseline=2.0)
    (transition,) = trajectory.known()
    assert transition.earned
    assert transition.rewards == pytest.approx(-0.5 + 8 * math.exp(-0.5))
    assert transition.discount == pytest.approx(math.exp(-1.5))
    assert (transition.observation[0], transition.action, transition.next_observation[0]) == (0.0, 0, 2.0)


def test_a_transition_waits_for_its_rewards_however_late_they_become_known() -> None:
    trajectory = played([0.0, 1.0, 2.0, 3.0], n_step=1)
    trajectory.outcome(1, 5.0)
    trajectory.outcome(2, 6.0)
    assert list(trajectory.known()) == []
    trajectory.outcome(0, 0.0, baseline=1.0)
    found = list(trajectory.known())
    assert [(transition.earned, transition.rewards) for transition in found] == [
        (False, -1.0),
        (True, 0.0),
        (True, 0.0),
    ]
    assert len(trajectory) == 1  # nothing follows the last


def test_a_return_ends_before_an_explored_decision_but_may_begin_with_one() -> None:
    trajectory = Trajectory(n_step=3, tau_s=1e9)
    for number in range(5):
        trajectory.begin(observation(number), MASK, at=float(number))
        trajectory.act(0, explored=number in {0, 2})
        trajectory.outcome(number, 1.0)
    found = list(trajectory.known())
    assert [item.next_observation[0] for item in found] == [2.0, 2.0]
    assert [item.rewards for item in found] == pytest.approx([1.0, 0.0])


def transition(value: float) -> Transition:
    return Transition(observation(value), MASK, 1, True, value, 0.5, observation(value + 1), MASK)


def test_the_oldest_make_room() -> None:
    replay = Replay(3, observation_size=1, actions=2)
    for value in range(5):
        replay.add(transition(value))
    assert len(replay) == 3
    batch = replay.sample(100, np.random.default_rng(1))
    assert set(batch.rewards.tolist()) == {2.0, 3.0, 4.0}
    assert (batch.next_observation[:, 0] == batch.observation[:, 0] + 1).all()


def test_samples_repeat_with_the_generator() -> None:
    replay = Replay(10, observation_size=1, actions=2)
    for value in range(10):
        replay.add(transition(value))
    first, second = (replay.sample(8, np.random.default_rng(1)).rewards.tolist() for _ in range(2))
    assert first == second


def test_the_state_goes_on_where_it_was() -> None:
    replay, again = (Replay(3, observation_size=1, actions=2) for _ in range(2))
    for value in (1.0, 2.0, 3.0, 4.0):
        replay.add(transition(value))
    again.load(replay.state())
    for buffer in (replay, again):
        buffer.add(transition(5.0))
    first, second = (buffer.sample(100, np.random.default_rng(1)) for buffer in (replay, again))
    assert set(second.rewards.tolist()) == {3.0, 4.0, 5.0}
    for column in first._fields:
        np.testing.assert_array_equal(getattr(first, column), getattr(second, column))


def test_the_state_of_one_that_is_not_full() -> None:
    replay, again = (Replay(3, observation_size=1, actions=2) for _ in range(2))
    replay.add(transition(1.0))
    again.load(replay.state())
    assert len(again) == 1
    assert set(again.sample(10, np.random.default_rng(1)).rewards.tolist()) == {1.0}
