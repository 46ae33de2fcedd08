"""Profiles → a model repository for Triton."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policies.profile import Profile
from policies.simulation.workload import Workload

ROOT = Path(__file__).parents[2]
PREFIX = "llm-"

WHOLE = """\
input [
  {{ name: "PAYLOAD" data_type: TYPE_UINT8 dims: [ -1 ] allow_ragged_batch: true }},
  {{ name: "ANSWER_BYTES" data_type: TYPE_INT32 dims: [ 1 ] optional: true }}
]
output [ {{ name: "ANSWER" data_type: TYPE_UINT8 dims: [ -1 ] }} ]
max_batch_size: {max_batch}
dynamic_batching {{ {preferred}max_queue_delay_microseconds: {delay_us} }}
instance_group [ {{ kind: KIND_CPU count: {instances} }} ]
"""

STREAM = """\
input [
  {{ name: "PROMPT" data_type: TYPE_INT32 dims: [ -1 ] }},
  {{ name: "MAX_TOKENS" data_type: TYPE_INT32 dims: [ 1 ] }},
  {{ name: "PAYLOAD" data_type: TYPE_UINT8 dims: [ -1 ] optional: true }},
  {{ name: "ANSWER_BYTES" data_type: TYPE_INT32 dims: [ 1 ] optional: true }}
]
output [ {{ name: "ANSWER" data_type: TYPE_UINT8 dims: [ -1 ] }} ]
max_batch_size: 0
model_transaction_policy {{ decoupled: true }}
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
"""
"""Max batch size 0: Triton hands over each request at once, and the model makes the batch."""

MODEL = """\
# Loaded by Triton's Python backend. The code, the same for all emulated models, is ops/emulated/triton_model.py.
import sys

sys.path.insert(0, {root!r})

from ops.emulated.triton_model import TritonPythonModel  # noqa: E402, F401
"""


@dataclass(frozen=True, slots=True)
class EmulatedModel:
    """One model of the repository. Answers token by token if its profile has tokens, else as a whole."""

    name: str
    """In Triton."""
    profile: Profile
    seed: int = 1
    """Of its latencies' spread; each of its instances draws its own."""


def emulated_models(workload: Workload, *, seed: int = 1) -> list[EmulatedModel]:
    """The candidates of a workload, in their order, each under its name after `llm-`."""
    return [EmulatedModel(f"{PREFIX}{candidate.model}", candidate.profile, seed) for candidate in workload.candidates]


def write_repository(directory: Path, models: Sequence[EmulatedModel]) -> Path:
    """Write the models into a directory, which is made if need be, over what is there of them; the directory.

    It refers to this source tree. Raises OSError, and ValueError for models of one name or instances of a token stream.
    """
    names = [model.name for model in models]
    if len(set(names)) < len(names):
        raise ValueError(f"models of one name: {', '.join(sorted(names))}")
    for model in models:
        version = directory / model.name / "1"
        version.mkdir(parents=True, exist_ok=True)
        (version / "model.py").write_text(MODEL.format(root=str(ROOT)))
        (directory / model.name / "config.pbtxt").write_text(config(model))
    return directory


def config(model: EmulatedModel) -> str:
    """The text of its `config.pbtxt`. Raises ValueError for several instances of a model of token streams."""
    profile = model.profile
    if profile.tokens is not None and profile.instances > 1:
        raise ValueError(f"{model.name}: {profile.instances} instances; a model of token streams has one running batch")
    if profile.tokens is None:
        preferred = f"preferred_batch_size: {list(profile.preferred)} " if profile.preferred else ""
        body = WHOLE.format(
            max_batch=profile.max_batch,
            preferred=preferred,
            delay_us=round(profile.batch_delay_s * 1e6),
            instances=profile.instances,
        )
    else:
        body = STREAM.format()
    # The text of a protobuf string and of a JSON string differ in nothing that occurs here.
    parameter = f'parameters {{ key: "pacing" value {{ string_value: {json.dumps(json.dumps(pacing_of(model)))} }} }}\n'
    return f'name: "{model.name}"\nbackend: "python"\n{body}{parameter}'


def pacing_of(model: EmulatedModel) -> Mapping[str, Any]:
    """What `pacing` reads: seconds for each size from 1 on."""
    profile = model.profile
    common = {"deviation": profile.deviation, "seed": model.seed}
    if (tokens := profile.tokens) is None:
        return {**common, "batch": [profile.at(size) for size in range(1, profile.max_batch + 1)]}
    return {
        **common,
        "prefill": tokens.prefill_base_s,
        "prefill_per_token": tokens.prefill_s_per_token,
        "step": [tokens.step(count) for count in range(1, tokens.max_sequences + 1)],
    }
