from pathlib import Path

from ops.bench.end_to_end import plots
from ops.bench.end_to_end.grid import Cell
from ops.bench.end_to_end.summary import summarise
from tests.unit.ops.bench.end_to_end.pond import EDF, QUIC, TCP, entry, scenario


def test_the_pictures_that_the_cells_allow(tmp_path: Path) -> None:
    pond = scenario()
    cells = [Cell(policy, column, "stable", 1) for policy in ("dqn", "static:small") for column in (EDF, QUIC, TCP)]
    entries = [entry(pond, cell, late=2) for cell in cells]
    summary = summarise(entries, ["stable"], ["static:small", "dqn"], pond.columns)
    made = plots.draw(pond, entries, summary, tmp_path)
    assert [file.name for file in made] == ["scores-bbr.png", "simulator.png", "first-token.png"]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in made)
    (panel,) = plots.scores(pond, summary, "bbr").axes
    assert len(panel.patches) == len(cells)
