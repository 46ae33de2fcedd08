from pathlib import Path

import pytest

from ops.bench.network.requests import (
    Outcome,
    Request,
    draw_requests,
    read_outcomes,
    read_requests,
    write_outcomes,
    write_requests,
)
from ops.bench.network.scenario import NetworkScenario, parse_scenario


def scenario(**values: object) -> NetworkScenario:
    source = {
        "classes": {"small": {"size": 1000, "share": 3}, "large": {"size": 5000, "share": 1}},
        "link": {"rate": "1mbit"},
        "arrivals": {"kind": "poisson", "load": [0.5, 1.0]},
        "requests": 2000,
        **values,
    }
    return parse_scenario(source, directory=Path())


def test_load_is_offered_bits_over_the_link_s_rate() -> None:
    requests = draw_requests(scenario(), load=0.5, seed=1)
    offered = sum(item.size_bytes for item in requests) * 8 / requests[-1].arrival_s
    assert offered / 1e6 == pytest.approx(0.5, rel=0.05)


def test_classes_come_by_their_shares() -> None:
    requests = draw_requests(scenario(), load=0.5, seed=1)
    assert sum(item.traffic_class == "small" for item in requests) / 2000 == pytest.approx(0.75, abs=0.03)


def test_a_seed_repeats_and_another_differs() -> None:
    assert draw_requests(scenario(), load=1.0, seed=1) == draw_requests(scenario(), load=1.0, seed=1)
    assert draw_requests(scenario(), load=1.0, seed=1) != draw_requests(scenario(), load=1.0, seed=2)


def test_loads_of_a_seed_differ_by_a_factor_in_time_only() -> None:
    slow, fast = (draw_requests(scenario(requests=20), load=load, seed=3) for load in (0.5, 1.0))
    assert [item.traffic_class for item in slow] == [item.traffic_class for item in fast]
    assert [item.arrival_s for item in slow] == pytest.approx([2 * item.arrival_s for item in fast])


def test_a_burst_is_all_at_once() -> None:
    requests = draw_requests(scenario(arrivals={"kind": "burst"}, requests=5), load=None, seed=1)
    assert [item.arrival_s for item in requests] == [0.0] * 5
    assert [item.number for item in requests] == [0, 1, 2, 3, 4]


def test_a_trace_gives_the_times_and_may_give_the_class(tmp_path: Path) -> None:
    (tmp_path / "times.csv").write_text("0.1,large\n0.3,large\n0.4,small\n")
    source = {
        "classes": {"small": {"size": 1000}, "large": {"size": 5000}},
        "link": {},
        "arrivals": {"kind": "trace", "file": "times.csv"},
        "requests": 2,
    }
    requests = draw_requests(parse_scenario(source, directory=tmp_path), load=None, seed=1)
    assert requests == (Request(0, "large", 0.1, 5000), Request(1, "large", 0.3, 5000))


def test_latency_counts_from_the_arrival_and_only_for_a_right_answer() -> None:
    assert Outcome(0, "a", 1.0, 1.2, 1.5, 2.0, "OK").latency_s == 1.0
    assert Outcome(0, "a", 1.0, 1.2, None, 2.0, "UNAVAILABLE").latency_s is None
    assert Outcome(0, "a", 1.0, 1.2, None, None, "OK").latency_s is None


def test_files_between_experiment_and_client(tmp_path: Path) -> None:
    requests, outcomes = [Request(0, "a", 0.5, 10)], (Outcome(0, "a", 0.5, 0.5, None, 1.0, "OK"),)
    write_requests(tmp_path / "asked", requests)
    write_outcomes(tmp_path / "answered", outcomes)
    assert read_requests(tmp_path / "asked") == requests
    assert read_outcomes(tmp_path / "answered") == outcomes
