from pathlib import Path

from ops.bench.journal import Journal
from ops.bench.network.grid import Cell, Row, cell_of
from ops.bench.network.requests import Outcome
from ops.bench.network.run import CellRun, outcomes_of

CELL = Cell(Row("quic", "edf", "bbr"), 1.0, 1)
OTHER = Cell(Row("tcp", None, "bbr"), None, 1)
RUN = CellRun(
    (Outcome(0, "a", 0.5, 0.5, None, 1.25, "OK"),), {"up": {"packets": 3}}, {"proxy": 0.5}, {"proxy": 0.1}, 0.001
)


def journal_of(file: Path, fingerprint: str = "f", *, fresh: bool = False) -> Journal[Cell]:
    return Journal(file, fingerprint=fingerprint, cell_of=cell_of, fresh=fresh)


def test_what_is_finished_is_there_after_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "out" / "cells.jsonl"
    journal = journal_of(file)
    assert journal.entries == {}
    journal.add(CELL, RUN, commit="c")
    journal.add(OTHER, RUN, commit="c")
    again = journal_of(file)
    assert set(again.entries) == {CELL, OTHER}
    assert again.entries == journal.entries
    assert outcomes_of(again.entries[CELL]) == RUN.outcomes
    assert again.entries[CELL]["commit"] == "c"
    assert repr(again) == "<Journal cells.jsonl cells=2 others=0>"


def test_cells_of_other_settings_do_not_count_and_stay(tmp_path: Path) -> None:
    file = tmp_path / "cells.jsonl"
    journal_of(file).add(CELL, RUN)
    other = journal_of(file, "g")
    assert (other.entries, other.others) == ({}, 1)
    other.add(OTHER, RUN)
    assert set(journal_of(file).entries) == {CELL}


def test_fresh_starts_with_nothing(tmp_path: Path) -> None:
    file = tmp_path / "cells.jsonl"
    journal_of(file).add(CELL, RUN)
    assert journal_of(file, fresh=True).entries == {}
    assert not file.exists()


def test_a_line_that_was_cut_off_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "cells.jsonl"
    journal_of(file).add(CELL, RUN)
    with file.open("a") as cut:
        cut.write('{"fingerprint": "f", "tran')
    again = journal_of(file)
    again.add(OTHER, RUN)
    assert set(journal_of(file).entries) == {CELL, OTHER}
