from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ops.bench.scenario import ScenarioError
from ops.bench.scheduler import SETTINGS, SHIPPED_SCENARIO, measure, plot, read_scenario, summary, table
from policies.scheduling.registry import SCHEDULERS


def cell(name: str, streams: int, number: int, packet_s: float) -> dict[str, Any]:
    metrics = {"packet_s": packet_s}
    return {"setting": "long", "scheduler": name, "streams": streams, "round": number, "metrics": metrics}


CELLS = [
    cell(name, streams, number, micro_s * 1e-6)
    for name, streams, rounds in (
        ("edf", 1, (2.0, 1.0, 4.0)),
        ("edf", 100, (3.0, 3.0, 3.5)),
        ("rr", 1, (80.0, 81.0, 90.0)),
    )
    for number, micro_s in enumerate(rounds, 1)
]


def test_the_shipped_scenario_has_what_is_to_be_shown() -> None:
    scenario = read_scenario(SHIPPED_SCENARIO, quick=False)
    assert scenario.streams == (1, 100, 1000, 10_000)
    assert scenario.schedulers == tuple(SCHEDULERS)
    assert read_scenario(SHIPPED_SCENARIO, quick=True).rounds < scenario.rounds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stream: [1]", "stream is unknown; allowed: name, seed, schedulers, streams"),
        ("streams: 3", "streams: 3 is not a list of whole numbers, each at least 1"),
        ("streams: [0]", "streams: (0,) is not a list of whole numbers, each at least 1"),
        ("schedulers: [lottery]", "schedulers: ('lottery',); allowed: a list of rr, "),
        ("rounds: true", "rounds: True is not a whole number, at least 1"),
        ("quick: {rounds: 0}", "rounds: 0 is not a whole number, at least 1"),
        ("- 1", "is no mapping; allowed: name"),
        ("a: [", "while parsing"),
    ],
)
def test_a_wrong_file_is_refused_by_name_and_key(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(text)
    with pytest.raises(ScenarioError) as caught:
        read_scenario(file, quick=True)
    assert str(caught.value).startswith(f"{file}: {message}")


@pytest.mark.slow
def test_every_cell_is_measured_in_every_round(tmp_path: Path) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text("schedulers: [rr, edf]\nstreams: [1, 3]\npackets: 50\nconnection_packets: 20\nrounds: 2\n")
    cells = measure(read_scenario(file, quick=False), Console(quiet=True))
    assert {(item["setting"], item["scheduler"], item["streams"], item["round"]) for item in cells} == {
        (setting, name, streams, number)
        for setting in SETTINGS
        for name in ("rr", "edf")
        for streams in (1, 3)
        for number in (1, 2)
    }
    assert all(item["metrics"]["packet_s"] > 0 for item in cells)


def test_a_row_is_the_spread_over_the_rounds() -> None:
    rows = list(summary(CELLS))
    assert [(row["scheduler"], row["streams"], row["rounds"]) for row in rows] == [
        ("edf", 1, 3),
        ("edf", 100, 3),
        ("rr", 1, 3),
    ]
    first = rows[0]["packet_s"]
    assert (first["median"], first["low"], first["high"]) == pytest.approx((2e-6, 1e-6, 4e-6))


def test_the_table_has_schedulers_down_and_streams_across() -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(table(list(summary(CELLS)), "long"))
    lines = [line.split() for line in console.export_text().splitlines()]
    assert ["scheduler", "1", "100"] in lines
    assert ["rr", "81", "(80", "to", "90)", "–"] in lines
    assert ["edf", "2.00", "(1.00", "to", "4.00)", "3.00", "(3.00", "to", "3.50)"] in lines


@pytest.mark.slow
def test_the_plot_is_a_picture(tmp_path: Path) -> None:
    file = plot(list(summary(CELLS)), tmp_path / "scheduler.png")
    assert file.read_bytes().startswith(b"\x89PNG")
