from __future__ import annotations

import torch

from policies.dqn.forward import shapes
from policies.dqn.network import NEVER, NetworkSettings, QNetwork
from policies.selection.features import CANDIDATE_FEATURES, REQUEST_FEATURES
from tests.unit.policies.dqn.networks import observations


def test_its_parameters_are_those_of_the_forward_pass() -> None:
    network = QNetwork(NetworkSettings(hidden=8))
    assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == shapes(
        8, dueling=True, chance=True
    )


def test_masked_actions_are_never_best_and_don_t_matter() -> None:
    network = QNetwork(NetworkSettings(hidden=8))
    values, masks = (torch.from_numpy(array) for array in observations(20, places=3))
    with torch.inference_mode():
        q_values = network(values, masks)
        assert (q_values[~masks] == NEVER).all()
        rows = values[:, -75:].view(20, 3, 25)
        rows[~masks[:, :3]] = 7.0
        assert torch.allclose(network(values, masks), q_values)


def test_a_value_is_what_the_request_earns_by_its_chance_and_what_comes_after() -> None:
    network = QNetwork(NetworkSettings(hidden=8))
    values, masks = (torch.from_numpy(array) for array in observations(20, places=3))
    with torch.inference_mode():
        at_hand, after, logits = network.parts(values, masks)
        q_values = network(values, masks)
    rows = values[:, -75:].view(20, 3, 25)
    stake = values[:, REQUEST_FEATURES.index("stake")]
    assert torch.allclose(at_hand[:, 1], 2 * stake * rows[:, 1, CANDIDATE_FEATURES.index("quality")])
    both = masks[:, 1]
    assert torch.allclose(q_values[both, 1], (after[:, 1] + at_hand[:, 1] * logits[:, 1].sigmoid())[both])
    assert torch.allclose(q_values[masks[:, 3], 3], after[masks[:, 3], 3])


def test_gradients_reach_every_parameter() -> None:
    network = QNetwork(NetworkSettings(hidden=8))
    values, masks = (torch.from_numpy(array) for array in observations(20, places=3))
    network(values, masks)[masks].square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.parameters())
