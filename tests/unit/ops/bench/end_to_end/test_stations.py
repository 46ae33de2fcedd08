from pathlib import Path

import pytest
import yaml

from ops.bench.certificates import make_certificates
from ops.bench.end_to_end.grid import Cell
from ops.bench.end_to_end.requests import draw_requests
from ops.bench.end_to_end.stations import CellRun, config, outcomes_of, profiles_file, run_cell
from ops.bench.network.grid import Row
from ops.link import namespaces_permitted
from policies.profile_file import read_profile
from proxy.config import load_config
from proxy.config.values import Available
from tests.unit.ops.bench.end_to_end.pond import QUIC, TCP, outcomes, scenario

AVAILABLE = Available(schedulers=("edf", "adaptive"))


@pytest.mark.parametrize("column", [QUIC, TCP])
def test_headway_accepts_the_configuration(tmp_path: Path, column: Row) -> None:
    pond = scenario(trace=True, headway={"proxy": {"batch_window": "2ms"}})
    (tmp_path / "token").write_text("0123456789abcdef0123\n")
    profiles = profiles_file(pond.workloads["stable"], tmp_path / "profiles.yaml")
    cell = Cell("static:small", column, "stable", 1)
    content = config(
        cell,
        pond,
        daemon="10.77.0.2",
        profiles=profiles,
        certificates=make_certificates(tmp_path),
        directory=tmp_path,
    )
    file = tmp_path / "headway.yaml"
    file.write_text(yaml.safe_dump(content))
    read = load_config(file, available=AVAILABLE)
    proxy, daemon = read.require_proxy(), read.require_daemon()
    assert (proxy.transport, proxy.batch_window_s) == (column.transport, 0.002)
    route = daemon.routes["llm"]
    assert (route.policy, [one.model for one in route.candidates]) == ("static:small", ["large", "small"])
    assert read.traffic.classes["fast"].token_deadline_s == 0.2
    assert read.scheduler == (column.scheduler or read.scheduler)


def test_profiles_are_written_as_the_daemon_reads_them(tmp_path: Path) -> None:
    workload = scenario().workloads["stable"]
    file = profiles_file(workload, tmp_path / "profiles.yaml")
    for candidate in workload.candidates:
        read = read_profile(file, candidate.model)
        assert read.tokens == candidate.profile.tokens


def test_outcomes_come_back_from_the_journal() -> None:
    there = outcomes(scenario(), 1)
    back = outcomes_of(CellRun(there, 1.0).as_json())
    assert [one.number for one in back] == [one.number for one in there]
    assert back[0].model == there[0].model
    assert back[0].arrival_s == pytest.approx(there[0].arrival_s, abs=1e-4)


@pytest.mark.slow
@pytest.mark.triton
@pytest.mark.skipif(namespaces_permitted() is not None, reason="network namespaces are not permitted")
async def test_a_cell_on_the_whole_stack(tmp_path: Path) -> None:
    pond = scenario(seconds=1, trace=True)
    requests = draw_requests(pond.workloads["stable"], 1)
    brought = await run_cell(
        Cell("static:small", QUIC, "stable", 1),
        requests,
        pond,
        certificates=make_certificates(tmp_path),
        directory=tmp_path,
    )
    assert [one.number for one in brought.outcomes] == [one.number for one in requests]
    assert {one.status for one in brought.outcomes} == {"OK"}
    assert {one.model for one in brought.outcomes} == {"small"}
    assert [one.tokens for one in brought.outcomes] == [one.answer_tokens for one in requests]
    assert all(one.first_latency_s is not None and one.first_latency_s > 0.02 for one in brought.outcomes)
    assert len(brought.decisions) == len(requests)
    assert {one["choice"] for one in brought.decisions} == {"small"}
    assert {one["mode"] for one in brought.samples} <= {"edf", "pruning", "fair", None}
    assert set(brought.cpu_s) == set(brought.waited_s) == {"client", "proxy", "daemon", "backend"}
    assert brought.link["up"]["delivered_bytes"] > sum(one.size_bytes for one in requests)
