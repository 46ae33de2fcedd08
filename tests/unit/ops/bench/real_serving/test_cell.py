"""A cell's parts; tests/triton/test_emulated.py runs one."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from ops.bench.certificates import make_certificates
from ops.bench.processes import ChildError
from ops.bench.real_serving.cell import Cell, CellRun, Usage, cell_of, configuration, real_policy, simulated
from ops.bench.real_serving.scenario import SHIPPED_SCENARIO, read_scenario
from policies.profile_file import read_profile
from policies.selection.registry import make_policy
from policies.simulation.run import run
from policies.simulation.workload_file import read_workload
from proxy.config import load_config


def test_a_cell_and_its_line_in_the_journal() -> None:
    cell = Cell("stable", "greedy", 7)
    assert str(cell) == "stable greedy seed 7"
    assert cell_of({**cell.as_json(), "other": 1}) == cell


def test_what_it_brings_has_the_difference() -> None:
    brought = CellRun({"score": 0.5}, {"score": 0.4}, 1.0, {}, {}, {})
    assert brought.as_json()["difference"] == {"score": pytest.approx(0.1)}


def test_static_policies_are_for_the_emulated_model() -> None:
    assert real_policy("static:large") == "static:llm-large"
    assert real_policy("greedy") == "greedy"


def test_the_configuration_is_one_that_headway_takes(tmp_path: Path) -> None:
    scenario = read_scenario(SHIPPED_SCENARIO, over={"headway": {"proxy": {"congestion_control": "cubic"}}})
    (tmp_path / "token").write_text("a-token\n")
    content = configuration(
        Cell("stable", "static:small", 1),
        scenario,
        "127.0.0.1:1",
        "http://127.0.0.1:2/metrics",
        certificates=make_certificates(tmp_path),
        directory=tmp_path,
    )
    file = tmp_path / "headway.yaml"
    file.write_text(yaml.safe_dump(content))
    config = load_config(file)
    assert config.require_proxy().congestion_control == "cubic"
    daemon = config.require_daemon()
    assert daemon.routes["llm"].policy == "static:llm-small"
    assert [candidate.model for candidate in daemon.routes["llm"].candidates] == [
        "llm-large",
        "llm-medium",
        "llm-small",
    ]
    profile = read_profile(daemon.routes["llm"].candidates[0].profile or Path(), "llm-large")
    assert profile.latency_s == scenario.workloads["stable"].candidates[0].profile.latency_s
    assert config.traffic.classes["realtime"].weight == 2


def test_the_simulator_s_figures_are_those_of_the_same_seed() -> None:
    workload = replace(read_workload("stable"), seconds=5)
    assert simulated(workload, "greedy", 5)["score"] == run(workload, make_policy("greedy"), 5).score


def test_usage_counts_from_its_beginning() -> None:
    usage = Usage({"this": os.getpid()})
    sum(range(200_000))
    used, waited = usage.since()
    assert used["this"] >= 0
    assert waited["this"] >= 0
    with pytest.raises(ChildError, match="gone has ended"):
        Usage({"gone": 2**22})
