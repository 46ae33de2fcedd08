from __future__ import annotations

import numpy as np
import pytest
import torch

from policies.dqn.learner import Learner, LearnerSettings
from policies.dqn.network import NetworkSettings
from policies.dqn.replay import Batch
from tests.unit.policies.dqn.networks import observations


def batch(count: int = 32, *, reward: float = 1.0, earned: float = 1.0, discount: float = 0.0) -> Batch:
    first, mask = observations(count, places=3)
    after, next_mask = observations(count, places=3, seed=5)
    action = np.array([np.flatnonzero(row)[0] for row in mask])
    return Batch(
        first,
        mask,
        action,
        np.full(count, earned, np.float32),
        np.full(count, reward, np.float32),
        np.full(count, discount, np.float32),
        after,
        next_mask,
    )


def learner(**changes: object) -> Learner:
    return Learner(LearnerSettings(**changes), NetworkSettings(hidden=8), seed=1)  # type: ignore[arg-type]


def test_what_comes_after_goes_to_the_rewards_when_nothing_follows() -> None:
    made, data = learner(learning_rate=0.01, last_learning_rate=0.01), batch()
    errors = [made.learn(data, progress=0.0).error for _ in range(150)]
    assert errors[-1] < 0.1 < errors[0]


@pytest.mark.parametrize("earned", [0.0, 1.0])
def test_the_chance_of_being_in_time_goes_to_what_was_seen(earned: float) -> None:
    made, data = learner(learning_rate=0.01, last_learning_rate=0.01), batch(earned=earned)
    losses = [made.learn(data, progress=0.0).chance_loss for _ in range(100)]
    assert losses[-1] < 0.2


def test_without_that_head_values_have_what_the_request_earns() -> None:
    made = Learner(LearnerSettings(0.01, 0.01), NetworkSettings(hidden=8, chance=False), seed=1)
    earning, losing = batch(reward=0.0), batch(reward=0.0, earned=0.0)
    assert made.learn(earning, progress=0.0).error > made.learn(losing, progress=0.0).error
    assert made.learn(losing, progress=0.0).chance_loss == 0.0


def test_the_target_follows_slowly() -> None:
    made = learner(target_weight=0.25)
    before = made.target.encoder.weight.clone()
    made.learn(batch(), progress=0.0)
    moved, ahead = made.target.encoder.weight - before, made.network.encoder.weight.detach() - before
    assert torch.allclose(moved, 0.25 * ahead, atol=1e-6)


def test_the_average_forgets_the_beginning_and_then_reaches_back_as_far_as_it_is_told() -> None:
    made, data = learner(average_weight=0.25), batch()
    for _ in range(29):
        made.learn(data, progress=0.0)
    # After ten steps it would go half of the way, after thirty it goes a quarter.
    before = made.average.encoder.weight.clone()
    made.learn(data, progress=0.0)
    moved, ahead = made.average.encoder.weight - before, made.network.encoder.weight.detach() - before
    assert torch.allclose(moved, 0.25 * ahead, atol=1e-6)


def test_double_values_the_action_of_the_one_network_with_the_other() -> None:
    """Right after the target was moved, both choose differently somewhere, and the loss tells."""
    losses = []
    for double in (True, False):
        made = learner(double=double)
        with torch.no_grad():
            made.target.candidate.weight.neg_()
            made.target.advantage.weight.neg_()
        losses.append(made.learn(batch(discount=1.0), progress=0.0).loss)
    assert losses[0] != pytest.approx(losses[1])


def test_masked_actions_are_far_below_all_others() -> None:
    seen, masks = observations(40, places=3)
    values = learner().values(seen, masks)
    assert values[masks].min() > -1e3 > values[~masks].max()


def test_the_same_seed_gives_the_same_network_and_a_state_can_be_restored() -> None:
    first, second = learner(), learner()
    first.learn(batch(), progress=0.5)
    assert not torch.equal(first.network.shed.weight, second.network.shed.weight)
    second.load(first.state())
    assert first.learn(batch(), progress=0.5) == second.learn(batch(), progress=0.5)
