"""Cells that fail or are cut short, and the directories in which they ran.

`network/test_experiment.py` has the visit itself.
"""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ops.bench.visit import CellError, Visit, interruptible, own_directory


@dataclass(frozen=True)
class Cell:
    name: str

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name}


async def test_cells_that_failed_are_told_and_noted() -> None:
    async def run_cell(cell: Cell) -> None:
        raise CellError(f"{cell.name}: no answer")

    console = Console(file=io.StringIO(), width=100)
    visit = Visit[Cell](lambda *_, **__: None, console)
    await visit.all([Cell("a")], run_cell)
    assert visit.tell_failed() == [{"name": "a", "reason": "a: no answer"}]
    assert isinstance(console.file, io.StringIO)
    assert "failed twice: Cell(name='a'): a: no answer\n" in console.file.getvalue()


def test_who_interrupts_hears_what_is_kept() -> None:
    console = Console(file=io.StringIO(), width=100)
    with (
        pytest.raises(asyncio.CancelledError),
        interruptible([Cell("a"), Cell("b")], {Cell("b")}.__contains__, console),
    ):
        raise asyncio.CancelledError
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == "1 of 2 cells are kept; the same command goes on from there\n"


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
