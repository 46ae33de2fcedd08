import argparse
import io
from pathlib import Path

import pytest
from rich.console import Console

from ops.bench.__main__ import parser
from ops.bench.congestion import experiment
from ops.bench.congestion.experiment import run
from ops.bench.congestion.grid import Cell
from ops.bench.congestion.scenario import CongestionScenario
from ops.bench.congestion.stations import CellRun
from ops.bench.congestion.wire import STEP_S
from ops.bench.processes import ChildError
from ops.bench.scenario import ScenarioError
from ops.bench.visit import CellError

FILE = """
name: pond
link: {rate: 8mbit, delay: 5ms}
seeds: [1]
goodput: {seconds: 4, flows: [tcp/reno, quic/none-such], directions: [down]}
"""


def arguments(tmp_path: Path, *more: str) -> argparse.Namespace:
    file = tmp_path / "pond.yaml"
    file.write_text(FILE)
    return parser().parse_args(["congestion", "--scenario", str(file), *more])


async def half_of_the_link(cell: Cell, scenario: CongestionScenario, **_: object) -> CellRun:
    """What a transfer brings that has half of the link all the time."""
    seconds = scenario.seconds(cell.part)
    steps = [round(cell.rate_bits_s / 8 * STEP_S / 2)] * round(seconds / STEP_S)
    flow = {"begins_s": 0.0, "ends_s": seconds, "arrived": steps, "bytes": sum(steps)}
    delays = {"mean_s": 0.02, "p50_s": 0.01, "p95_s": 0.05, "max_s": 0.1}
    seen = {"packets": 100, "dropped": 1, "wire_bytes": 9000, "wire_bytes_settled": 5000}
    way = {**seen, "queueing": delays, "queueing_settled": delays}
    return CellRun([flow], {"up": way, "down": way}, cpu_s={"proxy 0": 0.5}, seconds=seconds)


@pytest.mark.parametrize("jobs", [1, 2, 5])
async def test_every_cell_is_run_and_one_that_fails_twice_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    tries: list[int] = []

    async def brings(cell: Cell, scenario: CongestionScenario, *, directory: Path, **_: object) -> CellRun:
        tries.append(cell.seed)
        (directory / "proxy.log").write_text("why")
        (directory / "token").write_text("secret")
        if cell.seed == 1 or (cell.seed == 2 and tries.count(2) == 1):
            raise CellError("no")
        return await half_of_the_link(cell, scenario)

    monkeypatch.setattr(experiment, "namespaces_permitted", lambda: None)
    monkeypatch.setattr(experiment, "run_cell", brings)
    wanted = arguments(tmp_path, "--parts", "goodput", "--seeds", "1,2,3", "--jobs", str(jobs))
    result = await run(wanted, Console(file=io.StringIO()), tmp_path)
    assert sorted(tries) == [1, 1, 2, 2, 3]
    assert [(cell["seed"], cell["reason"]) for cell in result.notes["failed"]] == [(1, "no")]
    assert {cell["seed"]: cell["tries"] for cell in result.cells} == {2: 2, 3: 1}
    (logs,) = {file.parent for file in (tmp_path / "failed").glob("*seed-1/*")}
    assert {file.name for file in logs.iterdir()} == {"proxy.log"}


async def test_a_run_from_file_to_report_goes_on_where_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiment, "namespaces_permitted", lambda: None)
    monkeypatch.setattr(experiment, "run_cell", half_of_the_link)
    written = io.StringIO()
    console = Console(file=written, width=120)
    first = await run(arguments(tmp_path, "--parts", "goodput"), console, tmp_path / "out")
    (cell,) = first.cells
    assert (cell["transport"], cell["congestion_control"], cell["part"]) == ("tcp", "reno", "goodput")
    assert cell["metrics"]["goodput_share"] == pytest.approx(0.5)
    assert first.notes["unavailable"] == {"congestion control none-such": "not in this version"}
    assert "left out: congestion control none-such" in written.getvalue()
    again = await run(arguments(tmp_path, "--parts", "goodput"), console, tmp_path / "out")
    assert "1 of 1 cells are there from before" in written.getvalue()
    assert [one["metrics"] for one in again.cells] == [one["metrics"] for one in first.cells]


async def test_without_namespaces_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment, "namespaces_permitted", lambda: "only root may")
    with pytest.raises(ChildError, match="which this experiment needs: only root may"):
        await run(arguments(tmp_path), Console(file=io.StringIO()), tmp_path)


async def test_wrong_command_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ScenarioError, match="--jobs: 0"):
        await run(arguments(tmp_path, "--jobs", "0"), Console(file=io.StringIO()), tmp_path)
    with pytest.raises(SystemExit):
        arguments(tmp_path, "--parts", "goodput,speed")
    assert "speed: none of goodput, realtime, fairness, changes" in capsys.readouterr().err
    chosen = arguments(tmp_path, "--parts", "changes", "--seeds", "4,5")
    assert (chosen.parts, chosen.seeds) == (("changes",), [4, 5])
