"""What stands in the repository."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ops.emulated.repository import EmulatedModel, config, emulated_models, write_repository
from policies.profile import Profile, TokenProfile
from policies.simulation.workload_file import read_workload

WHOLE = Profile(((1, 0.1), (4, 0.16)), deviation=0.05, instances=2, batch_delay_s=0.002, preferred=(2, 4))
TOKENS = TokenProfile(0.0002, 0.01, ((1, 0.02), (4, 0.035)), 4)
STREAM = Profile(((1, 1.0),), tokens=TOKENS)


def test_whole_answers_have_triton_s_batcher_with_the_profile_s_settings() -> None:
    text = config(EmulatedModel("a", WHOLE))
    assert 'name: "a"' in text
    assert "max_batch_size: 4" in text
    assert "dynamic_batching { preferred_batch_size: [2, 4] max_queue_delay_microseconds: 2000 }" in text
    assert "count: 2" in text
    assert "decoupled" not in text
    found = pacing(text)
    assert found == {"deviation": 0.05, "seed": 1, "batch": pytest.approx([0.1, 0.12, 0.14, 0.16])}


def test_token_streams_are_decoupled_and_batch_themselves() -> None:
    text = config(EmulatedModel("b", STREAM, seed=3))
    assert "max_batch_size: 0" in text
    assert "decoupled: true" in text
    assert pacing(text) == {
        "deviation": 0.0,
        "seed": 3,
        "prefill": 0.01,
        "prefill_per_token": 0.0002,
        "step": pytest.approx([0.02, 0.025, 0.03, 0.035]),
    }


def pacing(text: str) -> object:
    found = re.search(r'key: "pacing" value { string_value: (".*") }', text)
    assert found is not None
    return json.loads(json.loads(found[1]))


def test_a_workload_s_candidates_become_models(tmp_path: Path) -> None:
    models = emulated_models(read_workload("stable"))
    assert [model.name for model in models] == ["llm-large", "llm-medium", "llm-small"]
    write_repository(tmp_path / "new", models)
    write_repository(tmp_path / "new", models)
    files = sorted(str(path.relative_to(tmp_path / "new")) for path in (tmp_path / "new").rglob("*.*"))
    assert files == [f"{model}/{file}" for model in sorted(m.name for m in models) for file in FILES]


FILES = ("1/model.py", "config.pbtxt")


def test_what_cannot_be_emulated_is_refused(tmp_path: Path) -> None:
    twice = Profile(((1, 1.0),), tokens=TOKENS, instances=2)
    with pytest.raises(ValueError, match="llm: 2 instances; a model of token streams has one running batch"):
        write_repository(tmp_path, [EmulatedModel("llm", twice)])
    with pytest.raises(ValueError, match="models of one name: a, a"):
        write_repository(tmp_path, [EmulatedModel("a", WHOLE), EmulatedModel("a", STREAM)])
