from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from policies.dqn.checkpoint import CheckpointError, read_checkpoint, write_checkpoint
from policies.dqn.domain import STREAMING
from policies.dqn.network import NetworkSettings
from policies.dqn.policy import DqnPolicy
from policies.dqn.train import BEST, STATE, STREAMS, Progress, TrainSettings, settings_from, train
from policies.dqn.validation import ValidationSettings, validate, validation_runs
from policies.selection.features import CANDIDATE_FEATURES
from policies.simulation.workload_file import read_workload
from tests.unit.policies.dqn.networks import checkpoint

WORKLOAD = replace(read_workload("stable"), seconds=4.0)
SETTINGS = TrainSettings(
    decisions=320,
    environments=4,
    warm_up=64,
    batch=16,
    replay=256,
    validate_every=160,
    network=NetworkSettings(hidden=8),
    validation=ValidationSettings(known_seconds=2.0, drawn=0),
)


def test_it_leaves_a_checkpoint_a_log_and_a_state(tmp_path: Path) -> None:
    told: list[Progress] = []
    trained = train(SETTINGS, tmp_path, workloads=[WORKLOAD], notes={"commit": "abc"}, report=told.append)
    read = read_checkpoint(tmp_path / BEST)
    assert [point[0] for point in trained.curve] == [160, 320]
    assert trained.best.known == max(point[1] or 0.0 for point in trained.curve)
    assert (read.hidden, read.training["commit"]) == (8, "abc")
    assert settings_from(read.training["settings"]) == SETTINGS
    assert (tmp_path / STATE).exists()
    assert list((tmp_path / "tensorboard").iterdir())
    assert [(progress.decisions, progress.of) for progress in told] == [(256, 320)]


def test_the_weight_of_what_comes_after_is_the_one_that_validates_best(tmp_path: Path) -> None:
    # Parameters by which the better a model is, the more its use costs others, and far more than it earns.
    start = checkpoint(tmp_path / "start.safetensors")
    parameters = {name: np.zeros_like(values) for name, values in start.parameters.items()}
    parameters["of_candidate.weight"][0, CANDIDATE_FEATURES.index("quality")] = 1.0
    parameters["encoder.weight"][0, 0] = parameters["candidate.weight"][0, 0] = 1.0
    parameters["advantage.weight"][0, 0] = -100.0
    parameters["in_time.bias"] += 5.0
    parameters["shed.bias"] -= 1000.0
    tried = replace(SETTINGS.validation, later_weights=(1.0, 0.0))
    still = replace(SETTINGS, decisions=160, warm_up=10_000, validation=tried)
    trained = train(still, tmp_path, workloads=[WORKLOAD], start=replace(start, parameters=parameters))
    best = read_checkpoint(tmp_path / BEST)
    assert best.later_weight == 0.0
    known, _ = validation_runs(tried, still.domain, workloads=[WORKLOAD])
    assert trained.best.score > validate(lambda: DqnPolicy(replace(best, later_weight=1.0)), known, []).score


def test_token_streams_are_validated_on_what_is_drawn_alone(tmp_path: Path) -> None:
    alone = replace(STREAMS.validation, drawn=1, drawn_seconds=1.0)
    trained = train(replace(SETTINGS, domain=STREAMS.domain, validation=alone), tmp_path)
    read = read_checkpoint(tmp_path / BEST)
    assert trained.best.known is None
    assert trained.best.score == trained.best.drawn
    assert read.training["validation"]["known"] is None
    assert settings_from(read.training["settings"]).domain == STREAMING


def test_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    train(replace(SETTINGS, decisions=160), tmp_path, workloads=[WORKLOAD])
    before = (tmp_path / STATE).read_bytes()
    resumed = train(SETTINGS, tmp_path, workloads=[WORKLOAD], resume=True)
    assert [point[0] for point in resumed.curve] == [160]  # it was done, as its own settings say
    assert (tmp_path / STATE).read_bytes() == before


def test_a_training_that_was_cut_short_is_resumed(tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(SETTINGS, tmp_path, workloads=[WORKLOAD], report=stop)
    trained = train(SETTINGS, tmp_path, workloads=[WORKLOAD], resume=True)
    assert [point[0] for point in trained.curve] == [160, 320]


def test_it_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    start = checkpoint(tmp_path / "start.safetensors")
    write_checkpoint(start)
    still = replace(SETTINGS, warm_up=10_000)  # so long that nothing is learnt
    trained = train(still, tmp_path, workloads=[WORKLOAD], start=read_checkpoint(start.path))
    assert (trained.checkpoint.parameters["shed.weight"] == start.parameters["shed.weight"]).all()
    with pytest.raises(CheckpointError, match=r"start.safetensors: its network is not of the settings' shape"):
        train(replace(SETTINGS, network=NetworkSettings(hidden=16)), tmp_path, start=start, workloads=[WORKLOAD])


def test_nothing_to_resume_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"training.pt: no such file; nothing to resume"):
        train(SETTINGS, tmp_path, resume=True)
    (tmp_path / STATE).write_bytes(b"no archive")
    with pytest.raises(CheckpointError, match=r"training.pt: "):
        train(SETTINGS, tmp_path, resume=True)


def test_settings_survive_the_sidecar() -> None:
    settings = replace(SETTINGS, without=("rate",))
    assert settings_from(asdict(settings)) == settings
