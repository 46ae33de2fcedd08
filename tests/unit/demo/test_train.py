from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from byte_lm import ByteLM, Shape, load
from corpus import Corpus
from rich.progress import Progress
from train import RECIPES, Training, main, parse, rate_factor, score, train

SMALLEST = Shape(width=32, layers=1, head_width=16, context=32)
TEXT = b"0123456789" * 60


def trained(steps: int, seed: int = 1) -> ByteLM:
    with Progress(disable=True) as progress:
        return train(SMALLEST, Training(steps=steps, seed=seed, dropout=0.0), TEXT, progress, "test")


def test_learns_a_text_that_repeats() -> None:
    scored = score(trained(steps=120), TEXT[:100])
    assert scored.held_out_bytes == 99
    assert scored.quality > 0.95
    assert scored.bits_per_byte < 0.5


def test_the_seed_decides_the_weights() -> None:
    first, again, other = (trained(steps=3, seed=seed).embedding.weight for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_an_untrained_model_knows_nothing() -> None:
    torch.manual_seed(0)
    scored = score(ByteLM(SMALLEST).eval(), TEXT)
    assert scored.quality < 0.2
    assert scored.bits_per_byte == pytest.approx(8.0, abs=0.2)


@pytest.mark.parametrize("length", [2, 32, 33, 34, 48, 49, 50, 65, 100])
def test_every_byte_but_the_first_is_scored_once(length: int) -> None:
    assert score(ByteLM(SMALLEST).eval(), TEXT[:length]).held_out_bytes == length - 1


def test_rates_rise_and_then_fall() -> None:
    training = Training(steps=120, warmup_steps=20)
    assert rate_factor(0, training) == pytest.approx(0.05)
    assert rate_factor(19, training) == pytest.approx(1.0)
    assert rate_factor(70, training) == pytest.approx(0.525)
    assert rate_factor(120, training) == pytest.approx(0.05)


def test_writes_weights_and_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECIPES, "small", (SMALLEST, Training(steps=1)))
    corpus = Corpus(training=TEXT, held_out=TEXT[:100], python="3.99", sha256="0f")
    main(["small", "--steps", "30", "--seed", "9", "--out", str(tmp_path)], corpus)
    described = json.loads((tmp_path / "llm-small" / "metadata.json").read_text())
    saved = load(tmp_path / "llm-small" / "1" / "model.safetensors")
    assert saved.shape == SMALLEST
    assert described["model"] == "llm-small"
    assert described["training"]["steps"] == 30
    assert described["training"]["seed"] == 9
    assert described["quality"] == round(score(saved, corpus.held_out).quality, 4) > 0.1
    assert described["held_out_bytes"] == 99
    assert described["text"]["python"] == "3.99"
    assert described["text"]["sha256"] == "0f"


@pytest.mark.parametrize("arguments", [["huge"], ["--steps", "0"]])
def test_a_wrong_command_line_is_a_usage_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(arguments)
    assert caught.value.code == 2
    assert "error:" in capsys.readouterr().err
