from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from ops.gpu.profile_llm import main, seconds
from policies.profile_file import read_entries

SMALL = ["--model", "tiny", "--device", "cpu", "--batches", "1,2", "--prompts", "2,8", "--context", "8"]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Threads that wait for one another on a busy machine take longer than the work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_a_profile_of_a_model_on_this_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "--answer-prompt", "4", "--repeats", "2", "--out", str(tmp_path / "p")]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/p/tiny-cpu.yaml\n"
    [entry] = read_entries(tmp_path / "p" / "tiny-cpu.yaml")
    assert entry.model == "tiny"
    assert entry.origin is not None
    assert (entry.origin.kind, entry.origin.server) == ("measured", f"torch {torch.__version__}")
    assert entry.profile.max_batch == 2
    assert entry.profile.tokens is not None
    assert entry.profile.tokens.max_sequences == 2
    assert [entry.profile.at(1), entry.profile.at(2)] == [each.median_s for each in entry.points[4:]]
    assert [(point.kind, point.at) for point in entry.points] == [
        ("first_token", 2),
        ("first_token", 8),
        ("next_token", 1),
        ("next_token", 2),
        ("batch", 1),
        ("batch", 2),
    ]


def test_the_first_runs_do_not_count() -> None:
    runs: list[int] = []
    assert len(seconds(lambda: runs.append(1), 4, torch.device("cpu"))) == 4
    assert len(runs) > 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--batches", "2,4"], "--batches begins with 1"),
        (["--prompts", "8"], "--prompts has at least two lengths"),
        (["--batches", "0"], "invalid _numbers value: '0'"),
        (["--model", "gpt"], "invalid choice: 'gpt'"),
    ],
)
def test_a_wrong_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--out", str(tmp_path), *arguments])
    assert message in capsys.readouterr().err
