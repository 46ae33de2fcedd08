import json
from pathlib import Path
from typing import NoReturn

import pytest

from ops.bench.certificates import Certificates, make_certificates
from ops.bench.congestion import stations
from ops.bench.congestion.grid import Cell
from ops.bench.congestion.scenario import Flow, parse_scenario
from ops.bench.congestion.stations import run_cell
from ops.bench.visit import CellError
from ops.link import LinkError, namespaces_permitted

SCENARIO = parse_scenario(
    {
        "link": {"rate": "10mbit", "delay": "5ms"},
        "fairness": {"seconds": 0.8, "join_at": 0.2},
        "realtime": {"requests": 2, "size": 1000, "calls": 1, "bulk": [1000, 2000], "lead": 0.1},
    }
)
needs_namespaces = pytest.mark.skipif(namespaces_permitted() is not None, reason="network namespaces are not permitted")
pytestmark = [pytest.mark.slow, needs_namespaces]


def cell(part: str, *flows: str, direction: str = "up", event: str | None = None) -> Cell:
    return Cell(part, tuple(Flow.parse(flow) for flow in flows), 1e7, 0.0, 4.0, direction, event, 1)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured here does not depend on the path's packet size."""
    monkeypatch.setattr(stations, "SETTLE_S", 0.0)


async def test_two_flows_share_the_link(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    run = await run_cell(
        cell("fairness", "tcp/cubic", "kernel/cubic"), SCENARIO, certificates=certificates, directory=tmp_path
    )
    tunnel, kernel = run.flows_seen
    assert (tunnel["begins_s"], kernel["begins_s"]) == (0.0, 0.2)
    assert tunnel["bytes"] > 0
    assert kernel["bytes"] > 0
    assert sum(kernel["arrived"][:2]) == 0
    assert run.wire["up"]["wire_bytes"] > run.wire["down"]["wire_bytes"]
    assert set(run.cpu_s) == {"client", "backend", "proxy 0", "daemon 0", "shuttle"}
    json.dumps(run.as_json())


async def test_requests_on_an_idle_link_and_under_a_flood(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    which = cell("realtime", "quic/edf/cubic", direction="both", event="none")
    run = await run_cell(which, SCENARIO, certificates=certificates, directory=tmp_path)
    assert [run.probes[phase]["statuses"] for phase in ("idle", "flood")] == [{"OK": 2}, {"OK": 2}]
    assert all(latency >= 0.01 for latency in run.probes["idle"]["latencies_s"])
    assert (run.probes["idle"]["bulk_bytes"], run.probes["flood"]["bulk_bytes"] > 0) == (0, True)


async def test_a_link_that_does_not_come_up_is_the_cell_s_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> NoReturn:
        raise LinkError("no such namespace")

    monkeypatch.setattr(stations, "EmulatedLink", fails)
    without = Certificates(tmp_path, tmp_path, tmp_path)
    with pytest.raises(CellError, match="no such namespace"):
        await run_cell(cell("goodput", "quic/cubic"), SCENARIO, certificates=without, directory=tmp_path)
