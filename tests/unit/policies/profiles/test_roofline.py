from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from policies.profile_file import SHIPPED, read_entries
from policies.profiles.roofline import (
    GPUS,
    LLAMA_7B,
    PUBLISHED_ON,
    PUBLISHED_PREFILL,
    PUBLISHED_THROUGHPUT,
    SHAPES,
    Fit,
    Gpu,
    Shape,
    fit,
    line,
    main,
    prefill_s,
    profile,
    step_s,
)


@pytest.mark.parametrize(("batch", "prompt", "answer", "rate"), PUBLISHED_THROUGHPUT)
def test_the_published_throughput_comes_out_within_five_percent(
    batch: int, prompt: int, answer: int, rate: float
) -> None:
    fitted = fit()
    _, token_s = prefill_s(LLAMA_7B, PUBLISHED_ON, fitted)
    decoding_s = (answer - 1) * step_s(LLAMA_7B, PUBLISHED_ON, fitted, batch, prompt + answer / 2)
    assert batch * answer / (batch * prompt * token_s + decoding_s) == pytest.approx(rate, rel=0.05)


@pytest.mark.parametrize(("tokens", "seconds"), PUBLISHED_PREFILL)
def test_the_published_first_tokens_come_out(tokens: int, seconds: float) -> None:
    base_s, token_s = prefill_s(LLAMA_7B, PUBLISHED_ON, fit())
    assert base_s + tokens * token_s == pytest.approx(seconds)


def test_what_is_fitted_is_possible() -> None:
    fitted = fit()
    assert 0.5 < fitted.bandwidth_share < 1
    assert 0.5 < fitted.flops_share < 1
    assert 0 < fitted.prefill_weights < 1


def test_a_step_by_hand() -> None:
    ideal = Fit(1.0, 1.0, 0.001, 0.0)
    # 1e9 weights of 2 bytes, and 2 × 10 × 100 × 2 bytes of keys and values for each of 100 tokens of 50 sequences.
    shape, gpu = Shape("s", 1e9, 10, 100), Gpu("g", 1e12, 1e14)
    assert step_s(shape, gpu, ideal, 50, 100) == pytest.approx(0.010 + (2e9 + 4000 * 100 * 50) / 1e12)
    # With little memory to move, arithmetic decides: 2 × 1e9 operations for each of 1000 sequences.
    assert step_s(shape, Gpu("g", 1e15, 1e14), ideal, 1000, 1) == pytest.approx(0.010 + 2e9 * 1000 / 1e14)


def test_larger_models_and_slower_gpus_take_longer() -> None:
    fitted = fit()
    for smaller, larger in pairwise(SHAPES):
        one, other = (profile(shape, PUBLISHED_ON, fitted) for shape in (smaller, larger))
        assert all(one.at(batch) < other.at(batch) for batch in (1, 8, 32))
    assert step_s(LLAMA_7B, GPUS["h100-sxm"], fitted, 8) < step_s(LLAMA_7B, PUBLISHED_ON, fitted, 8)


def test_a_line_needs_two_places() -> None:
    assert line([1, 3], [2, 6]) == (2.0, 0.0)
    with pytest.raises(ValueError, match="two places"):
        line([1, 1], [2, 6])


def test_the_shipped_files_are_what_the_computation_gives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path)]) == 0
    made = [Path(name) for name in capsys.readouterr().out.split()]
    assert len(made) == len(SHAPES)
    for path in made:
        shipped = read_entries(SHIPPED / path.name)
        assert [(entry.model, entry.profile) for entry in read_entries(path)] == [
            (entry.model, entry.profile) for entry in shipped
        ]


def test_another_gpu_needs_both_of_its_rates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rates = ["--gigabytes-per-second", "1555", "--teraflops", "312"]
    assert main(["--gpu", "mine", *rates, "--out", str(tmp_path)]) == 0
    [entry] = read_entries(tmp_path / "llama-7b-mine.yaml")
    assert entry.origin is not None
    assert entry.origin.gpus == ("mine",)
    with pytest.raises(SystemExit, match="2"):
        main(["--gpu", "mine", *rates[:2], "--out", str(tmp_path)])
    assert "another needs --gigabytes-per-second and --teraflops" in capsys.readouterr().err
