from pathlib import Path

from ops.bench.network.grid import Cell, Row, cell_of, cells, kernel_controls, rows, usable
from ops.bench.network.scenario import NetworkScenario, parse_scenario


def scenario() -> NetworkScenario:
    source = {
        "classes": {"a": {}},
        "link": {"rate": "1mbit"},
        "arrivals": {"kind": "poisson", "load": [0.5, 2]},
        "seeds": [1, 2],
        "cells": {"transport": ["quic", "tcp"], "scheduler": ["rr", "edf"], "congestion_control": ["cubic", "bbr"]},
    }
    return parse_scenario(source, directory=Path())


def test_tcp_has_no_scheduler() -> None:
    assert [str(row) for row in rows(scenario())] == [
        "quic/rr/cubic",
        "quic/rr/bbr",
        "quic/edf/cubic",
        "quic/edf/bbr",
        "tcp/cubic",
        "tcp/bbr",
    ]


def test_what_cannot_be_run_is_left_out_with_the_reason() -> None:
    found, missing = usable(
        rows(scenario()), schedulers={"edf"}, congestion_controls={"cubic"}, kernel_controls={"cubic"}
    )
    assert [str(row) for row in found] == ["quic/edf/cubic", "tcp/cubic"]
    assert missing == {
        "scheduler rr": "not in this version",
        "congestion control bbr": "not in this version",
        "tcp/bbr": "not in this kernel",
    }


def test_in_memory_there_is_no_tcp() -> None:
    found, missing = usable(
        rows(scenario()), schedulers={"rr", "edf"}, congestion_controls={"cubic", "bbr"}, kernel_controls=()
    )
    assert {row.transport for row in found} == {"quic"}
    assert missing == {"tcp": "there is no kernel TCP on the link in memory"}


def test_every_seed_has_all_cells_in_an_order_of_its_own_that_repeats() -> None:
    found = cells(scenario(), rows(scenario()))
    first, second = found[:12], found[12:]
    assert len(set(found)) == 24
    assert {cell.seed for cell in first} == {1}
    assert [(cell.row, cell.load) for cell in first] != [(cell.row, cell.load) for cell in second]
    assert found == cells(scenario(), rows(scenario()))


def test_a_cell_is_known_again_from_its_entry() -> None:
    for cell in (Cell(Row("tcp", None, "bbr"), None, 3), Cell(Row("quic", "edf", "bbr"), 1.5, 3)):
        assert cell_of({**cell.as_json(), "more": 1}) == cell
    assert str(Cell(Row("quic", "edf", "bbr"), 1.5, 3)) == "quic/edf/bbr load 1.5 seed 3"
    assert str(Cell(Row("tcp", None, "bbr"), None, 3)) == "tcp/bbr seed 3"


def test_a_linux_kernel_has_a_tcp_congestion_control() -> None:
    assert kernel_controls()
