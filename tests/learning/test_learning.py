"""Training learns what there is to learn in a trivial world, and repeats with its seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from policies.dqn.checkpoint import read_checkpoint
from policies.dqn.learner import LearnerSettings
from policies.dqn.network import NetworkSettings
from policies.dqn.policy import DqnPolicy
from policies.dqn.rollout import RewardSettings
from policies.dqn.train import TrainSettings, train
from policies.dqn.validation import ValidationSettings
from policies.profile import Profile
from policies.simulation.arrivals import Stable
from policies.simulation.distribution import Constant
from policies.simulation.run import run
from policies.simulation.workload import Network, RequestClass, SimulatedCandidate, Workload
from policies.traffic import TrafficClass

CLASSES = (
    RequestClass(TrafficClass("patient", 5.0, weight=1.0), 1.0),
    RequestClass(TrafficClass("urgent", 0.5, weight=2.0), 1.0),
)
CANDIDATES = (
    SimulatedCandidate("better", 0.9, Profile(((1, 0.8), (16, 0.8)))),
    SimulatedCandidate("sooner", 0.5, Profile(((1, 0.1), (16, 0.1)))),
)
TRIVIAL = Workload("trivial", 8.0, Stable((8.0,), 10.0), CLASSES, Network(Constant(0.02), Constant(0.02)), CANDIDATES)
"""The better model is too slow for the urgent class and has room for all of the other: each class has its model."""
BEST = (1 * 0.9 + 2 * 0.5) / (3 * 0.9)
SMALL = TrainSettings(
    decisions=4_000,
    environments=4,
    warm_up=400,
    batch=64,
    replay=4_000,
    validate_every=4_000,
    network=NetworkSettings(hidden=16),
    learner=LearnerSettings(learning_rate=3e-3, target_weight=0.02),
    reward=RewardSettings(n_step=2, tau_s=1.0),
    validation=ValidationSettings(drawn=0),
)


@pytest.mark.slow
def test_each_class_gets_its_model(tmp_path: Path) -> None:
    trained = train(SMALL, tmp_path, workloads=[TRIVIAL])
    result = run(TRIVIAL, DqnPolicy(read_checkpoint(trained.checkpoint.path)), seed=7)
    assert result.score > 0.97 * BEST
    assert result.by_class["urgent"].on_time > 0.97


@pytest.mark.slow
def test_the_same_seed_gives_the_same_parameters(tmp_path: Path) -> None:
    settings = replace(SMALL, decisions=600, validate_every=600)
    first, second, other = (
        train(replace(settings, seed=seed), tmp_path / name, workloads=[TRIVIAL]).checkpoint.parameters
        for name, seed in (("first", 1), ("second", 1), ("other", 2))
    )
    assert all((first[name] == second[name]).all() for name in first)
    assert any((first[name] != other[name]).any() for name in first)
