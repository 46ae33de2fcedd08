"""A cell over the emulated link: client and proxy in one network namespace, daemon and backend in the other.

Link and processes are fresh for each cell, so that no cell starts with another's windows and estimates. With the
scenario's first seed, proxy and daemon run with a recorder around their schedulers, for the picture of the wire.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import yaml

from ops.bench import headway
from ops.bench.certificates import Certificates
from ops.bench.load import cpu_s
from ops.bench.network.grid import Cell
from ops.bench.network.recorded import series
from ops.bench.network.requests import Request, read_outcomes, write_requests
from ops.bench.network.run import CellRun
from ops.bench.network.scenario import NetworkScenario
from ops.bench.processes import Child, ChildError, Program, listens, python, started_together
from ops.bench.visit import CellError
from ops.link import EmulatedLink, LinkError

# A namespace is the cell's own, and every port in it is free.
PROXY = "127.0.0.1:8001"
DAEMON_PORT = 4433
BACKEND_PORT = 8101

WARM_UP_CALLS = 3
WARM_UP_TIMEOUT_S = 20.0
"""For the handshake: a daemon that starts after the proxy, on two cores that other cells share."""

START_TIMEOUT_S = 40.0
HANG_S = 15.0
"""How long after its last request's limit a client may be silent."""

UNTRACED = {"OTEL_SDK_DISABLED": "true"}
"""Spans of each request cost CPU time and show nothing here; the scenario's `environment` may ask for them."""


def config(
    cell: Cell, scenario: NetworkScenario, *, daemon: str, certificates: Certificates, directory: Path
) -> dict[str, Any]:
    """The configuration file of headway's two ends."""
    row = cell.row
    control = {"congestion_control": row.congestion_control} if row.transport == "quic" else {}
    own: dict[str, Any] = {
        "classes": {
            item.name: {
                "deadline": f"{item.deadline_s}s",
                "priority": item.priority,
                "level": item.level,
                "weight": item.weight,
            }
            for item in scenario.classes.values()
        },
        "default_class": next(iter(scenario.classes)),
        "proxy": {"daemons": [f"{daemon}:{DAEMON_PORT}"], "server_name": "localhost", "drain": "0s", **control},
        "daemon": {"listen": f"{daemon}:{DAEMON_PORT}", "drain": "0s", **control},
    }
    if row.scheduler is not None:
        own["scheduler"] = row.scheduler
    return headway.config(
        headway.HeadwaySettings(transport=row.transport, config=headway.merged(own, scenario.headway)),
        backend=f"127.0.0.1:{BACKEND_PORT}",
        proxy_address=PROXY,
        daemon_port=DAEMON_PORT,
        certificates=certificates,
        directory=directory,
    )


async def run_emulated_cell(
    cell: Cell,
    requests: Sequence[Request],
    scenario: NetworkScenario,
    *,
    certificates: Certificates,
    directory: Path,
) -> CellRun:
    """Run it; what it writes goes to `directory`, which is there and empty. Raises `CellError`."""
    try:
        async with _stations(cell, scenario, certificates, directory) as (link, children):
            client, *_ = children
            warm_up = {"warm_up": PROXY, "calls": WARM_UP_CALLS, "timeout": WARM_UP_TIMEOUT_S}
            await client.ask(warm_up, limit_s=WARM_UP_TIMEOUT_S + HANG_S)
            asked, answered = directory / "requests.json", directory / "outcomes.json"
            write_requests(asked, requests)
            command = {
                "run": PROXY,
                "requests": str(asked),
                "seed": cell.seed,
                "give_up": scenario.give_up_s,
                "outcomes": str(answered),
            }
            programs = {child.name: [psutil.Process(child.pid)] for child in children}
            before = {name: cpu_s(found) for name, found in programs.items()}
            waited_before = {child.name: waited_s(child.pid) for child in children}
            link.restart_clock()
            link.statistics(reset=True)
            limit_s = requests[-1].arrival_s + scenario.give_up_s + WARM_UP_TIMEOUT_S + HANG_S
            answer = await client.ask(command, limit_s=limit_s)
            used = {name: cpu_s(found) - before[name] for name, found in programs.items()}
            waited = {child.name: waited_s(child.pid) - waited_before[child.name] for child in children}
            for child in children:
                if (ended := child.ended()) is not None:
                    raise ended
            outcomes = read_outcomes(answered)
            brought = CellRun(
                outcomes,
                link.statistics().as_json(),
                used,
                waited,
                max(outcome.sent_s - outcome.arrival_s for outcome in outcomes),
            )
    except (ChildError, LinkError, OSError) as error:
        raise CellError(str(error)) from error
    recordings = {way: directory / f"{role}.recording" for way, role in (("up", "proxy"), ("down", "daemon"))}
    return replace(
        brought,
        wire={
            way: series(json.loads(file.read_text()), scenario.classes.values(), began_at=answer["began_at"])
            for way, file in recordings.items()
            if file.exists()
        },
    )


@contextlib.asynccontextmanager
async def _stations(
    cell: Cell, scenario: NetworkScenario, certificates: Certificates, directory: Path
) -> AsyncIterator[tuple[EmulatedLink, list[Child]]]:
    """The link and client, proxy, daemon and backend, all ready."""
    (directory / "token").write_text(secrets.token_urlsafe(24) + "\n")
    async with EmulatedLink(scenario.link, seed=cell.seed) as link:
        if cell.row.transport == "tcp":
            for side in (link.near, link.far):
                side.sysctl("net.ipv4.tcp_congestion_control", cell.row.congestion_control)
        content = config(cell, scenario, daemon=link.far.address, certificates=certificates, directory=directory)
        file = directory / "headway.yaml"
        file.write_text(yaml.safe_dump(content, sort_keys=False))
        near, far = link.near.command, link.far.command
        environment = {**UNTRACED, **scenario.environment}

        def end(role: str) -> list[str]:
            arguments = [role, "-c", str(file)]
            if cell.row.transport == "quic" and cell.seed == scenario.seeds[0]:
                return python("ops.bench.network.recorded", str(directory / f"{role}.recording"), *arguments)
            return python("proxy.cli", *arguments)

        backend = python("ops.bench.network.backend", str(BACKEND_PORT))
        programs = {
            "client": Program(near(python("ops.bench.network.client")), directory / "client.log", talks=True),
            "proxy": Program(near(end("proxy")), directory / "proxy.log", listens),
            "daemon": Program(far(end("daemon")), directory / "daemon.log", listens),
            "backend": Program(far(backend), directory / "backend.log"),
        }
        async with started_together(programs, environment=environment, start_timeout_s=START_TIMEOUT_S) as children:
            yield link, list(children.values())


def waited_s(pid: int) -> float:
    """How long the process's threads have been ready to run without a core, so far.

    The second number of schedstat, in nanoseconds (Linux, Documentation/scheduler/sched-stats.rst).
    """
    total_ns = 0
    for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            total_ns += int(thread.read_text().split()[1])
    return total_ns / 1e9
