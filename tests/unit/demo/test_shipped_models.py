"""What is committed under examples/models/repository agrees with itself."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from byte_lm import load
from corpus import build_corpus
from train import RECIPES, score

REPOSITORY = Path(__file__).resolve().parents[3] / "examples" / "models" / "repository"
SIZES = ["small", "medium", "large"]


def described(size: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((REPOSITORY / f"llm-{size}" / "metadata.json").read_text())
    return loaded


@pytest.mark.parametrize("size", SIZES)
def test_metadata_describes_the_weights(size: str) -> None:
    model = load(REPOSITORY / f"llm-{size}" / "1" / "model.safetensors")
    shape, training = RECIPES[size]
    assert model.shape == shape
    assert model.parameter_count() == described(size)["parameters"]
    assert described(size)["training"]["steps"] == training.steps
    assert described(size)["held_out_bytes"] == 32179


@pytest.mark.slow
@pytest.mark.parametrize("size", ["small", "medium"])
def test_quality_is_what_the_weights_score(size: str) -> None:
    corpus = build_corpus()
    same_text = corpus.sha256 == described(size)["text"]["sha256"]
    scored = score(load(REPOSITORY / f"llm-{size}" / "1" / "model.safetensors"), corpus.held_out)
    # Another Python's topics differ in part, and models trained on the one may have seen some of the other's.
    assert scored.quality == pytest.approx(described(size)["quality"], abs=0.001 if same_text else 0.05)


@pytest.mark.parametrize("kind", ["llm", "llm-stream"])
def test_candidates_of_one_route_take_and_give_the_same(kind: str) -> None:
    configs = []
    for size in SIZES:
        text = (REPOSITORY / f"{kind}-{size}" / "config.pbtxt").read_text()
        assert f'name: "{kind}-{size}"' in text
        configs.append(text.replace(size, "SIZE"))
    assert configs[0] == configs[1] == configs[2]


def test_every_model_runs_the_same_code() -> None:
    sources = {path.read_text() for path in REPOSITORY.glob("*/1/model.py")}
    assert len(list(REPOSITORY.glob("*/1/model.py"))) == 6
    assert len(sources) == 1


def test_stream_models_use_the_weights_of_their_size() -> None:
    for size in SIZES:
        text = (REPOSITORY / f"llm-stream-{size}" / "config.pbtxt").read_text()
        assert re.search(r'key: "weights" value \{ string_value: "(.*)" \}', text)[1] == f"llm-{size}"  # type: ignore[index]


def test_the_weights_stay_small() -> None:
    assert sum(path.stat().st_size for path in REPOSITORY.rglob("*.safetensors")) < 8_000_000
