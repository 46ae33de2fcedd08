from __future__ import annotations

import numpy as np
import pytest
import torch

from policies.dqn.checkpoint import read_checkpoint
from policies.dqn.forward import THREADED, Forward, shapes
from policies.dqn.network import NEVER, NetworkSettings, QNetwork
from policies.selection.features import CANDIDATE_FEATURES, REQUEST_FEATURES
from tests.unit.policies.dqn.networks import checkpoint, observations


@pytest.mark.parametrize(("dueling", "chance"), [(True, True), (False, True), (True, False)])
def test_numpy_and_torch_agree(dueling: bool, chance: bool) -> None:
    network = QNetwork(NetworkSettings(hidden=16, dueling=dueling, chance=chance))
    parameters = checkpoint(hidden=16, dueling=dueling, chance=chance).parameters
    network.load_state_dict(
        {name: torch.from_numpy(values) for name, values in parameters.items()}, strict=dueling and chance
    )
    forward = Forward([parameters], dueling=dueling, chance=chance)
    values, masks = observations(50, places=5)
    with torch.inference_mode():
        expected = network(torch.from_numpy(values), torch.from_numpy(masks)).numpy()
    split = len(REQUEST_FEATURES)
    for value, mask, q_values in zip(values, masks, expected, strict=True):
        rows = value[split:].reshape(5, -1)[mask[:-1]]
        got = forward.q_values(value[:split], rows, may_shed=bool(mask[-1]))
        kept = got if mask[-1] else got[:-1]
        assert kept == pytest.approx(q_values[q_values > NEVER / 2].tolist(), abs=1e-4)


def test_what_comes_after_counts_by_its_weight_and_the_request_at_hand_whole() -> None:
    parameters = checkpoint().parameters
    generator = np.random.default_rng(3)
    request = generator.normal(size=len(REQUEST_FEATURES)).astype(np.float32)
    rows = generator.normal(size=(4, len(CANDIDATE_FEATURES))).astype(np.float32)

    def values(later_weight: float) -> list[float]:
        forward = Forward([parameters], dueling=True, chance=True, later_weight=later_weight)
        return forward.q_values(request, rows, may_shed=True)

    at_hand, whole = values(0.0), values(1.0)
    assert at_hand[-1] == 0.0  # shedding earns nothing
    assert all(value != 0.0 for value in at_hand[:-1])
    assert values(0.25) == pytest.approx([0.75 * a + 0.25 * b for a, b in zip(at_hand, whole, strict=True)], abs=1e-5)


def test_the_order_of_candidates_does_not_matter() -> None:
    forward = Forward([checkpoint().parameters], dueling=True, chance=True)
    generator = np.random.default_rng(3)
    request = generator.normal(size=len(REQUEST_FEATURES)).astype(np.float32)
    rows = generator.normal(size=(4, len(CANDIDATE_FEATURES))).astype(np.float32)
    straight = forward.q_values(request, rows, may_shed=True)
    reverse = forward.q_values(request, rows[::-1], may_shed=True)
    assert reverse == pytest.approx([*straight[3::-1], straight[4]], abs=1e-5)


@pytest.mark.parametrize(("dueling", "chance"), [(True, True), (False, True), (True, False)])
@pytest.mark.parametrize("may_shed", [True, False])
def test_several_networks_say_their_mean(dueling: bool, chance: bool, may_shed: bool) -> None:
    members = [checkpoint(dueling=dueling, chance=chance, seed=seed).parameters for seed in (1, 2, 3)]
    generator = np.random.default_rng(3)
    request = generator.normal(size=len(REQUEST_FEATURES)).astype(np.float32)
    rows = generator.normal(size=(4, len(CANDIDATE_FEATURES))).astype(np.float32)
    together = Forward(members, dueling=dueling, chance=chance, later_weight=0.5)
    alone = [Forward([member], dueling=dueling, chance=chance, later_weight=0.5) for member in members]
    said = [forward.q_values(request, rows, may_shed=may_shed) for forward in alone]
    assert said[0] != pytest.approx(said[1], abs=1e-3)
    mean = [sum(values) / 3 for values in zip(*said, strict=True)]
    assert together.q_values(request, rows, may_shed=may_shed) == pytest.approx(mean, abs=1e-5)


def test_a_head_that_is_left_out_has_no_parameters() -> None:
    whole = set(shapes(8, dueling=True, chance=True))
    assert whole - set(shapes(8, dueling=False, chance=True)) == {"state.weight", "state.bias"}
    assert whole - set(shapes(8, dueling=True, chance=False)) == {"in_time.weight", "in_time.bias"}


def test_no_product_is_large_enough_for_a_second_thread() -> None:
    """With the shipped width; a decision must not wait for a thread that a busy machine does not run."""
    hidden = read_checkpoint().hidden
    assert hidden * hidden < THREADED
