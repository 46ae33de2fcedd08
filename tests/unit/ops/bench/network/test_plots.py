from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Rectangle

from ops.bench.network.grid import Cell, Row, cell_of
from ops.bench.network.metrics import metrics
from ops.bench.network.plots import draw, latency_cdfs, on_time_by_load, timeline, wire
from ops.bench.network.requests import Outcome
from ops.bench.network.run import CellRun
from ops.bench.network.scenario import NetworkScenario, parse_scenario
from ops.bench.network.summary import summarise

ROWS = [Row("quic", "rr", "cubic"), Row("quic", "edf", "bbr"), Row("tcp", None, "bbr")]
OUTCOMES = (
    Outcome(0, "a", 0.0, 0.0, 0.2, 0.4, "OK"),
    Outcome(1, "b", 0.1, 0.1, 0.5, 3.0, "OK"),
    Outcome(2, "a", 0.2, 0.2, None, 1.0, "UNAVAILABLE"),
)


def scenario() -> NetworkScenario:
    source = {
        "name": "lake",
        "classes": {"a": {"size": 2048}, "b": {"deadline": 2.0}},
        "link": {"rate": "1mbit"},
        "arrivals": {"kind": "poisson", "load": [1, 2]},
    }
    return parse_scenario(source, directory=Path())


def entries(*loads: float | None) -> list[dict[str, object]]:
    figures = metrics(OUTCOMES, scenario().classes, 4.0)
    return [
        {**Cell(row, load, seed).as_json(), "workload": "lake", "metrics": figures, **CellRun(OUTCOMES).as_json()}
        for row in ROWS
        for load in loads
        for seed in (1, 2)
    ]


def test_on_time_has_a_panel_for_each_congestion_control() -> None:
    figure = on_time_by_load(scenario(), summarise(entries(1.0, 2.0), ROWS))
    assert [axes.get_title() for axes in figure.axes] == ["cubic", "bbr"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["rr", "edf", "TLS/TCP"]
    line = figure.axes[0].lines[0]
    assert np.asarray(line.get_xdata()).tolist() == [1.0, 2.0]
    assert np.asarray(line.get_ydata()).tolist() == pytest.approx([100 / 3, 100 / 3])


@pytest.mark.parametrize("rows", [ROWS, ROWS[1:]])
def test_the_title_of_on_time_fits_however_many_panels_there_are(rows: list[Row]) -> None:
    some = [entry for entry in entries(1.0, 2.0) if cell_of(entry).row in rows]
    figure = on_time_by_load(scenario(), summarise(some, rows))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    title = figure.texts[0].get_window_extent(canvas.get_renderer())  # type: ignore[no-untyped-call]
    assert 0 <= title.x0 < title.x1 <= figure.bbox.width


def test_latency_has_a_row_for_each_control_and_a_column_for_each_class() -> None:
    figure = latency_cdfs(scenario(), entries(1.0), 1.0)
    assert [axes.get_title() for axes in figure.axes] == ["a (2 KiB, 1 s)", "b (8 KiB, 2 s)", "", ""]
    step = figure.axes[0].lines[0]
    assert np.asarray(step.get_xdata()).tolist() == pytest.approx([0.4, 0.4])
    # Of two requests with two seeds each, those that failed were never answered.
    assert np.asarray(step.get_ydata()).tolist() == pytest.approx([0.25, 0.5])


def test_the_timeline_shows_one_seed_and_who_was_late() -> None:
    figure = timeline(scenario(), entries(2.0), 2.0)
    assert [axes.get_title() for axes in figure.axes] == [
        "quic/rr/cubic: 1 of 3 on time",
        "quic/edf/bbr: 1 of 3 on time",
        "tcp/bbr: 1 of 3 on time",
    ]
    assert len(figure.axes[0].patches) == 6
    assert len(figure.axes[0].lines) == 2


def test_the_wire_shows_who_was_recorded_stacked_by_class() -> None:
    sent = {"wire": {"up": {"a": [0, 12_500], "b": [25_000, 12_500]}, "down": {"a": [0], "b": [12_500]}}}
    some = [{**entry, **sent} if entry["transport"] == "quic" else entry for entry in entries(2.0)]
    figure = wire(scenario(), some, 2.0)
    assert [axes.get_title() for axes in figure.axes] == ["quic/rr/cubic", "quic/edf/bbr", "", ""]
    bars = [bar for bar in figure.axes[0].patches if isinstance(bar, Rectangle)]
    assert [(bar.get_y(), bar.get_height()) for bar in bars] == [(0, 0), (0, 1), (0, 2), (1, 1)]


@pytest.mark.slow
def test_every_picture_is_written(tmp_path: Path) -> None:
    some = entries(None)
    made = draw(scenario(), some, summarise(some, ROWS), tmp_path)
    assert [file.name for file in made] == ["latency.png", "timeline.png"]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in made)
