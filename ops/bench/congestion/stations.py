"""One cell: client and proxies in one network namespace, daemon and backend in the other, the link between them.

Link and processes are fresh for each cell, so that no cell starts with another's windows and estimates.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from ops.bench.certificates import Certificates
from ops.bench.congestion import probes, wire
from ops.bench.congestion.arrivals import read_arrivals
from ops.bench.congestion.grid import Cell, link_of
from ops.bench.congestion.scenario import CongestionScenario
from ops.bench.headway import HeadwaySettings, config, merged
from ops.bench.load import cpu_s
from ops.bench.network.emulated import UNTRACED
from ops.bench.processes import Child, ChildError, Program, listens, python, started_together
from ops.bench.visit import CellError
from ops.link import EmulatedLink, LinkError

# A namespace is the cell's own, and every port in it is free.
FIRST_PROXY_PORT = 8001
DAEMON_PORT = 4433
BACKEND_PORT = 8101
TCP_SINK_PORT = 8102

START_TIMEOUT_S = 40.0
WARM_UP_TIMEOUT_S = 20.0
HANG_S = 30.0
"""How long after its time a command may go unanswered."""
SETTLE_S = 1.0
"""Between the first calls and the measurement: the search for the path's packet size takes a few round trips."""
LEAD_S = 0.2
"""From a command to what it begins."""

CLASSES = {
    "realtime": {"deadline": "1s", "priority": 0, "level": "high", "weight": 2},
    "bulk": {"deadline": "7s", "priority": 2, "level": "low", "weight": 1},
    "transfer": {"deadline": "none", "priority": 2, "level": "low", "weight": 1},
}
"""The poster's classes, and one without a deadline for transfers that have none."""


@dataclass(frozen=True, slots=True)
class CellRun:
    """A cell that ran to its end."""

    flows_seen: Sequence[Mapping[str, Any]] = ()
    """For each, `begins_s`, `ends_s` and `arrived`: bytes in steps of `wire.STEP_S`."""
    wire: Mapping[str, Any] = field(default_factory=dict)
    """What the link's log shows, by direction."""
    link: Mapping[str, Any] = field(default_factory=dict)
    """The link's own statistics."""
    probes: Mapping[str, Any] = field(default_factory=dict)
    """Latencies idle and under the flood."""
    cpu_s: Mapping[str, float] = field(default_factory=dict)
    """CPU time by process, over `seconds`."""
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """For the journal."""
        return asdict(self)


@dataclass(slots=True)
class Stations:
    """What runs, all of it ready."""

    cell: Cell
    scenario: CongestionScenario
    directory: Path
    link: EmulatedLink
    proxies: Sequence[str | None]
    """Addresses, one for each flow; None for a flow without a tunnel."""
    children: dict[str, Child]

    @property
    def client(self) -> Child:
        """The program that sends."""
        return self.children["client"]


async def run_cell(cell: Cell, scenario: CongestionScenario, *, certificates: Certificates, directory: Path) -> CellRun:
    """Run it; what it writes goes to `directory`, which is there and empty. Raises `CellError`."""
    try:
        async with _stations(cell, scenario, certificates, directory) as stations:
            tunnels = [address for address in stations.proxies if address is not None]
            if tunnels:
                command = {"warm_up": tunnels, "timeout": WARM_UP_TIMEOUT_S}
                await stations.client.ask(command, limit_s=WARM_UP_TIMEOUT_S)
            await asyncio.sleep(SETTLE_S)
            programs = {name: [psutil.Process(child.pid)] for name, child in stations.children.items()}
            programs["shuttle"] = [psutil.Process(stations.link.shuttle_pid)]
            before, began_at = {name: cpu_s(found) for name, found in programs.items()}, time.monotonic()
            run = await (_probe(stations) if cell.part == "realtime" else _transfer(stations))
            used = {name: round(cpu_s(found) - before[name], 3) for name, found in programs.items()}
            seconds = round(time.monotonic() - began_at, 3)
            link = stations.link.statistics().as_json()
            for child in stations.children.values():
                if (ended := child.ended()) is not None:
                    raise ended
        # Not before the backend has ended does it have written everything.
        return run(link, used, seconds)
    except (ChildError, LinkError, OSError) as error:
        raise CellError(str(error)) from error


Finish = Callable[[Mapping[str, Any], Mapping[str, float], float], CellRun]


async def _transfer(stations: Stations) -> Finish:
    cell, scenario, link = stations.cell, stations.scenario, stations.link
    duration_s = scenario.seconds(cell.part)
    origin_at = link.mark() + LEAD_S
    flows: list[dict[str, Any]] = [
        {
            "number": number,
            "kind": "kernel" if address is None else "tunnel",
            "to": address or f"{link.far.address}:{TCP_SINK_PORT}",
            "control": flow.control,
            "direction": cell.direction,
            "starts_at": origin_at + (scenario.fairness.join_at_s if number else 0.0),
            "ends_at": origin_at + duration_s,
        }
        for number, (flow, address) in enumerate(zip(cell.flows, stations.proxies, strict=True))
    ]
    link.statistics(reset=True)
    log = stations.directory / "packets.tsv"
    command = {"transfer": flows, "directory": str(stations.directory)}
    with link.log(log):
        await asyncio.gather(
            stations.client.ask(command, limit_s=duration_s + LEAD_S + HANG_S), _begin(link, origin_at)
        )

    def finish(statistics: Mapping[str, Any], used: Mapping[str, float], seconds: float) -> CellRun:
        arrived = [
            read_arrivals(
                stations.directory,
                flow["number"],
                begins_at=flow["starts_at"],
                ends_at=flow["ends_at"],
                origin_at=origin_at,
            )
            for flow in flows
        ]
        seen = wire.read_log(log, begins_s=LEAD_S, seconds=duration_s)
        return CellRun(arrived, seen, statistics, {}, used, seconds)

    return finish


async def _begin(link: EmulatedLink, origin_at: float) -> None:
    """Count the link's changes from the origin."""
    await asyncio.sleep(origin_at - time.monotonic())
    link.restart_clock()


async def _probe(stations: Stations) -> Finish:
    cell, part = stations.cell, stations.scenario.realtime
    address = stations.proxies[0]
    asked_file = stations.directory / "requests.json"
    requests = probes.draw(part, seed=cell.seed)
    asked_file.write_text(json.dumps([asdict(request) for request in requests]))
    limit_s = requests[-1].arrival_s + part.lead_s + 2 * HANG_S
    found: dict[str, Any] = {}
    seen: dict[str, Any] = {}
    flood = {"calls": part.calls, "bytes": [int(size) for size in part.bulk_bytes], "lead": part.lead_s}
    for phase, under in (("idle", None), ("flood", flood)):
        outcomes = stations.directory / f"outcomes-{phase}.json"
        command = {
            "probe": address,
            "requests": str(asked_file),
            "seed": cell.seed,
            "flood": under,
            "outcomes": str(outcomes),
        }
        log = stations.directory / f"packets-{phase}.tsv"
        stations.link.statistics(reset=True)
        stations.link.mark()
        with stations.link.log(log):
            answer = await stations.client.ask(command, limit_s=limit_s)
        lead_s = 0.0 if under is None else part.lead_s
        seen[phase] = wire.read_log(log, begins_s=lead_s, seconds=requests[-1].arrival_s, series=False)
        found[phase] = {**probes.kept(json.loads(outcomes.read_text())), **answer}
    return lambda statistics, used, seconds: CellRun((), seen, statistics, found, used, seconds)


@contextlib.asynccontextmanager
async def _stations(
    cell: Cell, scenario: CongestionScenario, certificates: Certificates, directory: Path
) -> AsyncIterator[Stations]:
    (directory / "token").write_text(f"congestion-{cell.seed}\n")
    async with EmulatedLink(link_of(cell, scenario), seed=cell.seed) as link:
        near, far = link.near.command, link.far.command
        programs = {
            "client": Program(near(python("ops.bench.congestion.client")), directory / "client.log", talks=True),
            "backend": Program(far(_backend(link, directory)), directory / "backend.log"),
        }
        proxies: list[str | None] = []
        for number, flow in enumerate(cell.flows):
            if flow.transport == "kernel":
                proxies.append(None)
                continue
            proxies.append(f"127.0.0.1:{FIRST_PROXY_PORT + number}")
            if flow.transport == "tcp":
                for side in (link.near, link.far):
                    side.sysctl("net.ipv4.tcp_congestion_control", flow.control)
            file = _write_config(cell, number, scenario, link=link, certificates=certificates, directory=directory)
            for role, inside in (("daemon", far), ("proxy", near)):
                command = inside(python("proxy.cli", role, "-c", str(file)))
                programs[f"{role} {number}"] = Program(command, directory / f"{role}-{number}.log", listens)
        environment = {**UNTRACED, **scenario.environment}
        async with started_together(programs, environment=environment, start_timeout_s=START_TIMEOUT_S) as children:
            yield Stations(cell, scenario, directory, link, proxies, children)


def _backend(link: EmulatedLink, directory: Path) -> list[str]:
    tcp = (link.far.address, str(TCP_SINK_PORT))
    return python("ops.bench.congestion.backend", str(BACKEND_PORT), *tcp, str(directory))


def _write_config(
    cell: Cell,
    number: int,
    scenario: CongestionScenario,
    *,
    link: EmulatedLink,
    certificates: Certificates,
    directory: Path,
) -> Path:
    """The configuration file of one tunnel's both ends."""
    flow, daemon_port = cell.flows[number], DAEMON_PORT + number
    control = {"congestion_control": flow.control} if flow.transport == "quic" else {}
    bulk_due = {"bulk": {**CLASSES["bulk"], "deadline": cell.event}} if cell.part == "realtime" else {}
    own: dict[str, Any] = {
        "classes": CLASSES | bulk_due,
        "default_class": "transfer",
        "proxy": {
            "daemons": [f"{link.far.address}:{daemon_port}"],
            "server_name": "localhost",
            "drain": "0s",
            **control,
        },
        "daemon": {"listen": f"{link.far.address}:{daemon_port}", "drain": "0s", **control},
    }
    if flow.scheduler is not None:
        own["scheduler"] = flow.scheduler
    content = config(
        HeadwaySettings(transport=flow.transport, config=merged(own, scenario.headway)),
        backend=f"127.0.0.1:{BACKEND_PORT}",
        proxy_address=f"127.0.0.1:{FIRST_PROXY_PORT + number}",
        daemon_port=daemon_port,
        certificates=certificates,
        directory=directory,
    )
    file = directory / f"headway-{number}.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file
