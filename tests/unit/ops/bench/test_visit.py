"""Cells that fail, and the directories in which they ran. `network/test_experiment.py` has the visit itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.bench.visit import CellError, own_directory


def test_what_a_failed_cell_leaves_is_kept_without_secrets(tmp_path: Path) -> None:
    def fail() -> None:
        with own_directory("tcp: a/b, seed 1", within=tmp_path, out=tmp_path / "out", leave_out=("models",)) as own:
            for name in ("log", "token", "models"):
                (own / name).write_text(name)
            raise CellError("no answer")

    with pytest.raises(CellError, match="no answer"):
        fail()
    (kept,) = (tmp_path / "out" / "failed").iterdir()
    assert kept.name == "tcp-a-b-seed-1"
    assert {file.name: file.read_text() for file in kept.iterdir()} == {"log": "log", "reason": "no answer\n"}
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_of_one_that_worked_nothing_stays(tmp_path: Path) -> None:
    with own_directory("a", within=tmp_path, out=tmp_path / "out") as own:
        (own / "log").write_text("log")
    assert list(tmp_path.iterdir()) == []
