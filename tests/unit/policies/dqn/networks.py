"""Small networks and observations for the tests of the DQN."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from policies.dqn.checkpoint import Checkpoint
from policies.dqn.forward import shapes
from policies.selection.features import CANDIDATE_FEATURES, REQUEST_FEATURES


def checkpoint(path: Path = Path("x.safetensors"), *, hidden: int = 8, seed: int = 1, **changes: Any) -> Checkpoint:
    """With random parameters."""
    generator = np.random.default_rng(seed)
    dueling, chance = changes.get("dueling", True), changes.get("chance", True)
    parameters = {
        name: generator.normal(0.0, 0.5, shape).astype(np.float32)
        for name, shape in shapes(hidden, dueling=dueling, chance=chance).items()
    }
    return Checkpoint(path, parameters, hidden, **changes)


def observations(count: int, *, places: int, seed: int = 2) -> tuple[Any, Any]:
    """Random observations, and masks with at least one candidate each."""
    generator = np.random.default_rng(seed)
    size = len(REQUEST_FEATURES) + places * len(CANDIDATE_FEATURES)
    masks = generator.uniform(size=(count, places + 1)) < 0.5
    masks[np.arange(count), generator.integers(places, size=count)] = True
    return generator.normal(0.0, 1.0, (count, size)).astype(np.float32), masks
