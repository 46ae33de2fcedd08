from pathlib import Path

import pytest

from ops.bench.network.experiment import SHIPPED_SCENARIO
from ops.bench.network.scenario import Arrival, NetworkScenario, RequestClass, parse_scenario, read_scenario
from ops.bench.scenario import SHIPPED, ScenarioError

CLASSES = "classes: {a: {size: 1000, deadline: 1.0, weight: 2, level: high}}\n"


def read(directory: Path, text: str, *, quick: bool = False) -> NetworkScenario:
    file = directory / "scenario.yaml"
    file.write_text(text)
    return read_scenario(file, quick=quick)


def test_the_shipped_scenario_is_the_poster_s() -> None:
    scenario = read_scenario(SHIPPED_SCENARIO)
    assert [(item.size_bytes, item.deadline_s) for item in scenario.classes.values()] == [
        (8192, 1.0),
        (8192, 2.0),
        (102400, 7.0),
    ]
    assert scenario.classes["realtime"] == RequestClass("realtime", 8192, 1.0, 2.0, 0, "high", 1.0)
    assert (scenario.link.rate_bits_s, scenario.link.delay_s, scenario.link.loss) == (5e6, 0.05, 0.005)
    assert scenario.link.queue_bytes == 65536
    assert scenario.loads == (0.5, 0.75, 1.0, 1.5, 2.0)
    assert scenario.requests == 80
    assert scenario.schedulers == ("rr", "fcfs", "edf", "absolute", "multilevel", "adaptive")
    assert scenario.congestion_controls == ("reno", "cubic", "bbr")
    assert scenario.mean_size_bytes == pytest.approx(39594.7, abs=0.1)


@pytest.mark.parametrize(
    "name", ["poster-3g", "poster-3g-burst", "poster-3g-loss-0", "poster-3g-loss-2", "poster-3g-overload", "small"]
)
def test_every_shipped_scenario_can_be_read(name: str) -> None:
    for quick in (False, True):
        assert read_scenario(SHIPPED / f"{name}.yaml", quick=quick).name == name


def test_quick_runs_and_the_command_line_replace_keys(tmp_path: Path) -> None:
    text = CLASSES + "requests: 9\ncells: {scheduler: [edf]}\nquick: {requests: 2, cells: {transport: [tcp]}}\n"
    text += "link: {rate: 1mbit}\n"
    quick = read(tmp_path, text, quick=True)
    assert (quick.requests, quick.transports, quick.schedulers) == (2, ("tcp",), ("edf",))
    assert read(tmp_path, text).requests == 9
    over = read_scenario(tmp_path / "scenario.yaml", over={"seeds": [7], "cells": {"transport": ["quic"]}})
    assert (over.seeds, over.transports, over.schedulers) == ((7,), ("quic",), ("edf",))


def test_a_trace_is_read_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "times.csv").write_text("at_s,class\n0.5,a\n\n0.25\n")
    scenario = read(tmp_path, CLASSES + "arrivals: {kind: trace, file: times.csv}\n")
    assert scenario.trace == (Arrival(0.25, None), Arrival(0.5, "a"))
    assert (scenario.requests, scenario.loads) == (2, (None,))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class: {}", "class is unknown; did you mean classes?"),
        ("quick: {request: 1}", "quick.request is unknown; did you mean requests?"),
        ("classes: {}", "classes: no class with a share above 0"),
        ("classes: {a: {deadline: 0}}", "classes.a.deadline: 0 is not a number above 0"),
        (CLASSES + "arrivals: {kind: rush}", "arrivals.kind: 'rush' is not a name of poisson, burst, trace"),
        (CLASSES + "arrivals: {kind: poisson}", "link: has no rate, which loads are relative to"),
        (CLASSES + "arrivals: {kind: trace, file: none.csv}", "No such file"),
        (CLASSES + "link: {rate: fast}", "link.rate: 'fast' is not a rate"),
        (CLASSES + "cells: {scheduler: [lifo]}", "cells.scheduler: 'lifo' is not a name of rr, fcfs"),
        ("a: [", "while parsing"),
        ("- 1", "the file: [1] is not a mapping"),
    ],
)
def test_a_wrong_file_is_refused_by_name_and_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'scenario.yaml'}: ")
    assert message in str(caught.value)


def test_a_trace_with_an_unknown_class_is_refused_by_line(tmp_path: Path) -> None:
    (tmp_path / "times.csv").write_text("0.5,a\n0.6,b\n")
    with pytest.raises(ScenarioError, match=r"times.csv:2: 'b' is no class; known: a"):
        read(tmp_path, CLASSES + "arrivals: {kind: trace, file: times.csv}\n")


def test_the_fingerprint_changes_with_what_a_cell_does_not_name(tmp_path: Path) -> None:
    def fingerprint(mode: str = "emulated", **values: object) -> str:
        source = {
            "classes": {"a": {"size": 10}},
            "link": {"rate": "1mbit"},
            "arrivals": {"kind": "poisson", "load": [1.0]},
            **values,
        }
        return parse_scenario(source, directory=tmp_path).fingerprint(mode)

    same = fingerprint()
    assert fingerprint(seeds=[5, 6], name="other", cells={"scheduler": ["fcfs"]}) == same
    assert fingerprint(arrivals={"kind": "poisson", "load": [2.0, 3.0]}) == same
    others = [
        fingerprint("memory"),
        fingerprint(requests=3),
        fingerprint(link={"rate": "2mbit"}),
        fingerprint(classes={"a": {"size": 11}}),
        fingerprint(arrivals={"kind": "burst"}),
        fingerprint(headway={"proxy": {"batch_window": "1ms"}}),
    ]
    assert len({same, *others}) == 7
