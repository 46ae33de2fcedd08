from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ops.bench.decision import FIGURES, SHIPPED_SCENARIO, measure, read_scenario, run, summary, table
from ops.bench.scenario import ScenarioError
from policies.selection.registry import POLICIES


def cell(policy: str, workload: str, number: int, micro_s: float) -> dict[str, Any]:
    metrics = dict.fromkeys(FIGURES, micro_s * 1e-6)
    return {"policy": policy, "workload": workload, "candidates": 3, "round": number, "metrics": metrics}


CELLS = [
    cell("dqn", "stable", 1, 80.0),
    cell("dqn", "stable", 2, 90.0),
    cell("greedy", "stable", 1, 15.0),
    cell("greedy", "tokens", 1, 20.0),
]


def test_the_shipped_scenario_has_what_is_to_be_shown() -> None:
    scenario = read_scenario(SHIPPED_SCENARIO, quick=False)
    assert scenario.policies == tuple(POLICIES)
    assert scenario.workloads == ("stable", "five", "tokens")
    assert read_scenario(SHIPPED_SCENARIO, quick=True).rounds < scenario.rounds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("policy: [dqn]", "policy is unknown; allowed: name, seed, policies, workloads, rate"),
        ("policies: dqn", "policies: 'dqn' is not a list of names"),
        ("rate: 0", "rate: 0 is not a number above 0"),
        ("rounds: 1.5", "rounds: 1.5 is not a whole number, at least 1"),
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


async def test_every_cell_is_measured_in_every_round_and_what_cannot_be_had_is_named(tmp_path: Path) -> None:
    file = tmp_path / "scenario.yaml"
    missing = f"dqn:{tmp_path}/missing.safetensors"
    file.write_text(
        f"policies: [greedy, random, '{missing}']\nworkloads: [two]\ndecisions: 20\nwarm_up: 1\nrounds: 2\n"
    )
    arguments = argparse.Namespace(scenario=file, quick=False)
    report = await run(arguments, Console(quiet=True), tmp_path)
    assert {(item["policy"], item["candidates"], item["round"]) for item in report.cells} == {
        (name, 2, number) for name in ("greedy", "random") for number in (1, 2)
    }
    assert [row["rounds"] for row in report.summary] == [2, 2]
    assert list(report.notes["not_measured"]) == [missing]


async def test_a_workload_that_does_not_exist(tmp_path: Path) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text("policies: [greedy]\nworkloads: [no-such.yaml]\n")
    with pytest.raises(ScenarioError, match="no-such"):
        await measure(read_scenario(file, quick=False), Console(quiet=True))


def test_the_table_has_the_longest_last() -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(table(list(summary(CELLS)), "stable"))
    lines = [line.split() for line in console.export_text().splitlines() if "dqn" in line or "greedy" in line]
    assert lines == [["greedy", *["15"] * 6], ["dqn", *["85"] * 6]]
