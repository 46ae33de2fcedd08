from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from policies.dqn.checkpoint import Checkpoint, CheckpointError, read_checkpoint, write_checkpoint
from policies.dqn.policy import DqnPolicy, from_files
from policies.profile import Profile, TokenProfile
from policies.selection.base import Candidate, Request
from tests.unit.policies.dqn.networks import checkpoint

PROFILE = Profile(((1, 0.1), (4, 0.2)))
LARGE = Candidate("large", "a", 0.8, running=2, waiting=1, batch=2, predicted_finish_at=10.3, profile=PROFILE)
SMALL = Candidate("small", "a", 0.4, running=1, predicted_finish_at=10.2, batch=1, profile=PROFILE)
REQUEST = Request("llm", "realtime", deadline_at=11.0)


def constant(*, candidate: float, shed: float) -> DqnPolicy:
    return DqnPolicy(constant_checkpoint(candidate=candidate, shed=shed))


def constant_checkpoint(*, candidate: float, shed: float) -> Checkpoint:
    """A network whose values don't depend on what it sees."""
    zeros = {name: np.zeros_like(values) for name, values in checkpoint().parameters.items()}
    zeros["advantage.bias"][0], zeros["shed.bias"][0] = candidate, shed
    return replace(checkpoint(), parameters=zeros)


def test_the_highest_value_wins_and_all_are_told() -> None:
    choice = DqnPolicy(checkpoint()).choose(REQUEST, [LARGE, SMALL], now=10.0)
    assert len(choice.scores) == 3
    best = max(range(3), key=choice.scores.__getitem__)
    assert choice.candidate == (None if best == 2 else best)


def test_it_sheds_when_that_has_the_highest_value() -> None:
    choice = constant(candidate=-1.0, shed=1.0).choose(REQUEST, [LARGE, SMALL], now=10.0)
    assert choice.shed
    assert choice.reason.startswith("refused for the sake of other requests")
    assert constant(candidate=0.0, shed=0.0).choose(REQUEST, [LARGE, SMALL], now=10.0).candidate == 0


def test_an_idle_system_is_not_shed_from() -> None:
    idle = replace(LARGE, running=0, waiting=0)
    choice = constant(candidate=-1.0, shed=1.0).choose(REQUEST, [idle], now=10.0)
    assert choice.candidate == 0
    assert choice.scores[-1] == -math.inf


def test_one_that_is_not_ready_is_left_out() -> None:
    policy = constant(candidate=1.0, shed=0.0)
    choice = policy.choose(REQUEST, [replace(LARGE, ready=False), SMALL], now=10.0)
    assert choice.candidate == 1
    assert choice.scores[0] == -math.inf
    assert policy.choose(REQUEST, [replace(LARGE, ready=False)], now=10.0).candidate == 0


def test_without_a_profile_greedy_decides() -> None:
    policy = DqnPolicy(checkpoint())
    choice = policy.choose(REQUEST, [replace(LARGE, profile=None), SMALL], now=10.0)
    assert (choice.candidate, choice.fallback, choice.scores) == (0, "a candidate has no profile", ())
    assert policy.log_data() == {"decisions": 1, "shed": 0, "by_greedy": 1}


def test_where_all_candidates_stream_tokens_a_checkpoint_of_their_own_decides() -> None:
    refuses, serves = (constant_checkpoint(candidate=candidate, shed=0.0) for candidate in (-1.0, 1.0))
    policy = DqnPolicy(refuses, streams=[serves])
    tokens = replace(PROFILE, tokens=TokenProfile(1e-4, 0.01, ((1, 0.02), (4, 0.03)), max_sequences=4))
    streaming = [replace(candidate, profile=tokens) for candidate in (LARGE, SMALL)]
    stream = replace(REQUEST, streaming=True)
    assert policy.choose(stream, streaming, now=10.0).candidate is not None
    assert policy.choose(stream, [streaming[0], SMALL], now=10.0).shed
    assert policy.choose(stream, [streaming[0], replace(SMALL, ready=False)], now=10.0).candidate == 0
    assert policy.choose(stream, [LARGE, SMALL], now=10.0).shed
    assert policy.choose(REQUEST, streaming, now=10.0).shed


def test_checkpoints_of_one_s_own_decide_together(tmp_path: Path) -> None:
    files: list[str] = []
    for value, shed in ((1.0, 0.0), (-4.0, 0.5), (0.0, 0.5)):
        path = tmp_path / f"{len(files)}.safetensors"
        made = replace(constant_checkpoint(candidate=value, shed=shed), path=path, later_weight=0.5)
        write_checkpoint(made)
        files.append(str(made.path))
    first, both = from_files(files[0]), from_files(",".join(files))
    assert (first.name, both.name) == (f"dqn:{files[0]}", f"dqn:{','.join(files)}")
    assert first.choose(REQUEST, [LARGE, SMALL], now=10.0).candidate is not None
    choice = both.choose(REQUEST, [LARGE, SMALL], now=10.0)
    assert choice.shed
    whole = [DqnPolicy(replace(read_checkpoint(file), later_weight=1.0)) for file in files]
    alone = [policy.choose(REQUEST, [LARGE, SMALL], now=10.0).scores for policy in whole]
    assert choice.scores == pytest.approx([sum(of) / 3 for of in zip(*alone, strict=True)], abs=1e-6)


def test_networks_of_two_shapes_are_no_mean() -> None:
    with pytest.raises(CheckpointError, match="of another shape than that of"):
        DqnPolicy(checkpoint(), checkpoint(hidden=16))


def test_two_checkpoints_see_the_same() -> None:
    with pytest.raises(CheckpointError, match="its features are not those of"):
        DqnPolicy(checkpoint(), streams=[replace(checkpoint(), without=("network",))])


@pytest.mark.slow
def test_deciding_needs_no_torch() -> None:
    code = "import sys, policies.dqn.policy; sys.exit('torch' in sys.modules or 'gymnasium' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
