import sys
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path

import pytest
import yaml

from ops.bench.certificates import Certificates, make_certificates
from ops.bench.network import emulated
from ops.bench.network.emulated import config, run_emulated_cell
from ops.bench.network.grid import Cell, Row
from ops.bench.network.requests import Request
from ops.bench.network.scenario import NetworkScenario, parse_scenario
from ops.bench.visit import CellError
from ops.link import LinkSettings, namespaces_permitted
from proxy.config import load_config

QUIC, TCP = Row("quic", "edf", "cubic"), Row("tcp", None, "cubic")


def scenario(**values: object) -> NetworkScenario:
    source = {
        "classes": {
            "fast": {"size": 1000, "deadline": 0.5, "weight": 2, "level": "high"},
            "slow": {"deadline": 9.0, "priority": 1},
        },
        "link": {"rate": "10mbit", "delay": "10ms"},
        **values,
    }
    return parse_scenario(source, directory=Path())


@pytest.mark.parametrize("row", [QUIC, TCP])
def test_headway_accepts_the_configuration(tmp_path: Path, row: Row) -> None:
    certificates = make_certificates(tmp_path)
    (tmp_path / "token").write_text("0123456789abcdef0123\n")
    over = scenario(headway={"proxy": {"batch_window": "2ms"}})
    content = config(Cell(row, 1.0, 1), over, daemon="10.77.0.2", certificates=certificates, directory=tmp_path)
    file = tmp_path / "headway.yaml"
    file.write_text(yaml.safe_dump(content))
    read = load_config(file)
    proxy, daemon = read.require_proxy(), read.require_daemon()
    assert (proxy.transport, proxy.batch_window_s) == (row.transport, 0.002)
    assert [str(address) for address in proxy.daemons] == ["10.77.0.2:4433"] == [str(daemon.listen)]
    if row is QUIC:
        assert (proxy.congestion_control, daemon.congestion_control) == ("cubic", "cubic")
    fast = read.traffic.classes["fast"]
    assert (fast.deadline_s, fast.weight, fast.level) == (0.5, 2.0, "high")
    assert read.traffic.default_class == "fast"
    assert read.scheduler == "edf"


needs_namespaces = pytest.mark.skipif(namespaces_permitted() is not None, reason="network namespaces are not permitted")


class DeafSide:
    """One side of a link on which every program ends at once."""

    address = "10.77.0.2"

    def __init__(self) -> None:
        self.modules: list[str] = []
        """What was asked for."""
        self.controls: list[str] = []
        """The kernel's congestion controls."""

    def sysctl(self, key: str, value: str) -> None:
        assert key == "net.ipv4.tcp_congestion_control"
        self.controls.append(value)

    def command(self, command: list[str]) -> list[str]:
        assert command[:2] == [sys.executable, "-m"]
        self.modules.append(command[2])
        return ["sh", "-c", "echo deaf; exit 1"]


class DeafLink:
    """A link of two such sides, in the place of an emulated one."""

    def __init__(self) -> None:
        self.near, self.far = DeafSide(), DeafSide()

    def opened(self, _: LinkSettings, *, seed: int) -> AbstractAsyncContextManager["DeafLink"]:
        assert seed in {1, 2}
        return nullcontext(self)


@pytest.mark.slow
@needs_namespaces
async def test_a_cell_over_the_emulated_link(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    requests = [Request(0, "slow", 0.0, 20_000), Request(1, "fast", 0.05, 1000)]
    brought = await run_emulated_cell(
        Cell(QUIC, 1.0, 1), requests, scenario(), certificates=certificates, directory=tmp_path
    )
    assert [(item.number, item.traffic_class, item.status) for item in brought.outcomes] == [
        (0, "slow", "OK"),
        (1, "fast", "OK"),
    ]
    for item in brought.outcomes:
        assert item.served_s is not None
        assert item.latency_s is not None
        assert item.served_s - item.sent_s >= 0.010
        assert item.latency_s >= 0.020
    assert brought.link["up"]["delivered_bytes"] > 21_000
    assert brought.link["down"]["delivered_bytes"] > 21_000
    assert set(brought.wire) == {"up", "down"}
    for series in brought.wire.values():
        assert sum(series["slow"]) > 20_000
        assert sum(series["fast"]) > 1000
    assert set(brought.cpu_s) == set(brought.waited_s) == {"client", "proxy", "daemon", "backend"}
    assert all(seconds >= 0 for seconds in brought.waited_s.values())


@pytest.mark.parametrize(
    ("row", "seed", "module", "controls"),
    [
        (QUIC, 1, "ops.bench.network.recorded", []),
        (QUIC, 2, "proxy.cli", []),
        (TCP, 1, "proxy.cli", ["cubic", "cubic"]),
    ],
)
async def test_what_runs_where_and_what_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: Row, seed: int, module: str, controls: list[str]
) -> None:
    link = DeafLink()
    monkeypatch.setattr(emulated, "EmulatedLink", link.opened)
    with pytest.raises(CellError, match=r"(client|proxy|daemon|backend) ended with 1:\ndeaf"):
        await run_emulated_cell(
            Cell(row, 1.0, seed),
            [Request(0, "fast", 0.0, 10)],
            scenario(seeds=[1, 2]),
            certificates=Certificates(tmp_path, tmp_path, tmp_path),
            directory=tmp_path,
        )
    assert link.near.modules == ["ops.bench.network.client", module]
    assert link.far.modules == [module, "ops.bench.network.backend"]
    assert [*link.near.controls, *link.far.controls] == controls
