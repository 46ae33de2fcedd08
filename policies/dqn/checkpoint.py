"""A trained network on disk: `NAME.safetensors` with the parameters, `NAME.json` beside it with all else.

Reading needs numpy and safetensors; nothing in a file is ever executed. A checkpoint that can't be used is refused with
the reason: missing, corrupt, of another format or feature schema, of other shapes, with numbers that are none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from policies.dqn.forward import Array, shapes
from policies.selection.features import CANDIDATE_FEATURES, GROUPS, REQUEST_FEATURES, SCHEMA

FORMAT = 1
"""Of the sidecar."""
SHIPPED = {"default": ("default",), "streams": tuple(f"streams-{number}" for number in range(1, 7))}
"""Those that come with headway, whose values are averaged: for any route, and for token streams."""


class CheckpointError(ValueError):
    """A checkpoint can't be used; the text names the file and says why."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A network's parameters and what made them."""

    path: Path
    parameters: Mapping[str, Array] = field(repr=False)
    """By torch's names."""
    hidden: int
    """Width of the layers."""
    dueling: bool = True
    chance: bool = True
    """Whether it has a head for the chance of being in time."""
    later_weight: float = 1.0
    """Of what comes after, when an action is chosen."""
    without: tuple[str, ...] = ()
    """Groups of features that it was trained without."""
    training: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """For the reader: settings, seed, decisions, scores, commit."""


def read_checkpoint(path: Path | str = "default") -> Checkpoint:
    """Read a checkpoint, a file or the name of one that comes with headway. Raises `CheckpointError`."""
    shipped = any(path in names for names in SHIPPED.values())
    file = Path(__file__).parent / "checkpoints" / f"{path}.safetensors" if shipped else Path(path)
    sidecar = _sidecar(file)
    network = sidecar["network"]
    try:
        hidden, dueling, chance = int(network["hidden"]), bool(network["dueling"]), bool(network["chance"])
        later_weight = float(network.get("later_weight", 1.0))
        without = tuple(str(group) for group in sidecar.get("without", ()))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{file.with_suffix('.json')}: network needs hidden, dueling and chance: {error!r}"
        ) from error
    if not 0.0 <= later_weight <= 1.0:
        raise CheckpointError(f"{file.with_suffix('.json')}: later_weight is {later_weight:g}, and may be 0 to 1")
    if not set(without) <= set(GROUPS):
        raise CheckpointError(f"{file.with_suffix('.json')}: without {without}; known groups are {', '.join(GROUPS)}")
    parameters = _parameters(file, shapes(hidden, dueling=dueling, chance=chance))
    return Checkpoint(file, parameters, hidden, dueling, chance, later_weight, without, sidecar)


def write_checkpoint(checkpoint: Checkpoint) -> None:
    """Write both files, each complete or not at all."""
    file = checkpoint.path
    file.parent.mkdir(parents=True, exist_ok=True)
    sidecar = {
        **checkpoint.training,
        "format": FORMAT,
        "schema": SCHEMA,
        "features": {"request": list(REQUEST_FEATURES), "candidate": list(CANDIDATE_FEATURES)},
        "actions": "the candidates in the order they are given, then shed",
        "network": {name: getattr(checkpoint, name) for name in ("hidden", "dueling", "chance", "later_weight")},
        "without": list(checkpoint.without),
    }
    temporary = file.with_suffix(".tmp")
    save_file({name: np.ascontiguousarray(values) for name, values in checkpoint.parameters.items()}, temporary)
    temporary.chmod(0o644)  # safetensors makes files that only their owner reads
    temporary.replace(file)
    temporary.write_text(json.dumps(sidecar, indent=2) + "\n", encoding="utf-8")
    temporary.replace(file.with_suffix(".json"))


def _sidecar(file: Path) -> dict[str, Any]:
    if file.suffix != ".safetensors":
        raise CheckpointError(f"{file}: a checkpoint is a .safetensors file with a .json file beside it")
    path = file.with_suffix(".json")
    try:
        sidecar = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        missing = path if file.exists() else file
        raise CheckpointError(f"{missing}: no such file") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    if not isinstance(sidecar, dict) or not isinstance(sidecar.get("network"), dict):
        raise CheckpointError(f"{path}: not the sidecar of a checkpoint")
    if sidecar.get("format") != FORMAT:
        raise CheckpointError(f"{path}: format {sidecar.get('format')!r}, this version reads {FORMAT}")
    if sidecar.get("schema") != SCHEMA:
        raise CheckpointError(
            f"{path}: trained on features of schema {sidecar.get('schema')!r}, this version has {SCHEMA}; train it anew"
        )
    return sidecar


def _parameters(file: Path, wanted: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    try:
        parameters = load_file(file)
    except FileNotFoundError as error:
        raise CheckpointError(f"{file}: no such file") from error
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"{file}: {error}") from error
    for name, shape in wanted.items():
        values = parameters.get(name)
        if values is None or values.shape != shape or values.dtype != np.float32:
            found = "is not there" if values is None else f"is {values.dtype} of shape {values.shape}"
            raise CheckpointError(f"{file}: {name} {found}; float32 of shape {shape} is needed")
        if not np.isfinite(values).all():
            raise CheckpointError(f"{file}: {name} has values that are not finite")
    return {name: parameters[name] for name in wanted}
