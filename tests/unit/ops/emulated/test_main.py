"""The command line, up to where Triton starts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ops.emulated.__main__ import main, models_of, parser


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Its exit code, which argparse raises."""
    monkeypatch.setattr(sys, "argv", ["python -m ops.emulated", *arguments])
    with pytest.raises(SystemExit) as ended:
        sys.exit(main())
    return int(ended.value.code or 0)


def test_a_repository_of_named_profiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "models"
    code = run(monkeypatch, "--profiles", "llm-large=llama-13b-a100", "llama-1b-a100", "--out", str(out))
    assert code == 0
    assert sorted(path.name for path in out.iterdir()) == ["llama-1b", "llm-large"]
    assert "decoupled: true" in (out / "llm-large" / "config.pbtxt").read_text()
    assert "llm-large, llama-1b" in capsys.readouterr().out.replace("\n", " ")


def test_a_model_that_streams_can_answer_as_a_whole() -> None:
    arguments = ["--profiles", "llama-7b-a100", "--whole", "--seed", "4"]
    (model,) = models_of(parser().parse_args(arguments))
    assert (model.name, model.profile.tokens, model.seed) == ("llama-7b", None, 4)


def test_a_workload_s_candidates() -> None:
    models = models_of(parser().parse_args(["--workload", "two"]))
    assert all(model.name.startswith("llm-") for model in models)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--out", "x"], "no models: give --profiles or --workload"),
        (["--workload", "two"], "nothing to do: give --out, --serve or --measure"),
        (
            ["--profiles", "none", "--out", "x"],
            "there is no such file; profiles that come with headway: ",
        ),
        (["--workload", "none", "--out", "x"], "none"),
        (["--profiles", "llama-7b-a100", "llama-7b-a100", "--out", "x"], "models of one name: llama-7b, llama-7b"),
    ],
)
def test_what_is_wrong_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert run(monkeypatch, *arguments) == 2
    assert said in capsys.readouterr().err
