"""A cell over the emulated link: client and proxy in one network namespace, daemon and Triton in the other.

Link and processes are fresh for each cell, so that no cell starts with another's windows, queues and estimates.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from ops.bench import headway
from ops.bench.certificates import Certificates
from ops.bench.end_to_end.backend import PORTS
from ops.bench.end_to_end.decisions import decisions
from ops.bench.end_to_end.grid import Cell
from ops.bench.end_to_end.requests import TokenOutcome, TokenRequest, read_outcomes, write_requests
from ops.bench.end_to_end.scenario import EndToEndScenario
from ops.bench.load import cpu_s
from ops.bench.network.emulated import DAEMON_PORT, PROXY, UNTRACED, waited_s
from ops.bench.processes import Child, ChildError, Program, listens, python, started_together
from ops.bench.visit import CellError
from ops.emulated.repository import EmulatedModel, write_repository
from ops.link import EmulatedLink, LinkError
from policies.profile_file import ProfileEntry, write_entries
from policies.simulation.workload import Workload

ROUTE = "llm"
TRITON = "a"
METRICS = "127.0.0.1:9464"

WARM_UP_TIMEOUT_S = 30.0
START_TIMEOUT_S = 60.0
"""Triton with its models takes 2 to 4 s where a core is free."""
HANG_S = 60.0
"""How long after its last arrival a client may be silent: the longest answer takes some 10 s."""


@dataclass(frozen=True, slots=True)
class CellRun:
    """A cell that ran to its end."""

    outcomes: tuple[TokenOutcome, ...]
    seconds: float
    """From the command to the last outcome."""
    link: Mapping[str, Any] = field(default_factory=dict)
    """What became of the packets, by direction: `up` is the requests'."""
    cpu_s: Mapping[str, float] = field(default_factory=dict)
    """CPU time from the command to the last outcome, by process, with its children."""
    waited_s: Mapping[str, float] = field(default_factory=dict)
    """How long a process's threads were ready to run and had no core, in that time."""
    lateness_s: float = 0.0
    """The longest that the client was behind an arrival."""
    samples: Sequence[Mapping[str, Any]] = ()
    """Of the proxy's metrics, where the scenario asks for them."""
    decisions: Sequence[Mapping[str, Any]] = ()
    """Of the daemon's policy, where the scenario asks for them."""

    def as_json(self) -> dict[str, Any]:
        """For the journal. Outcomes are lists, in the order of `TokenOutcome`'s fields, to the tenth of a ms."""
        return {
            "seconds": round(self.seconds, 3),
            "link": dict(self.link),
            "cpu_s": {name: round(value, 3) for name, value in self.cpu_s.items()},
            "waited_s": {name: round(value, 3) for name, value in self.waited_s.items()},
            "lateness_s": round(self.lateness_s, 4),
            "samples": list(self.samples),
            "decisions": list(self.decisions),
            "outcomes": [
                [round(value, 4) if isinstance(value, float) else value for value in asdict(outcome).values()]
                for outcome in self.outcomes
            ],
        }


def outcomes_of(entry: Mapping[str, Any]) -> tuple[TokenOutcome, ...]:
    """The outcomes in an entry of the journal."""
    return tuple(TokenOutcome(*values) for values in entry["outcomes"])


def config(
    cell: Cell,
    scenario: EndToEndScenario,
    *,
    daemon: str,
    profiles: Path,
    certificates: Certificates,
    directory: Path,
) -> dict[str, Any]:
    """The configuration file of headway's two ends."""
    column = cell.column
    control = {"congestion_control": column.congestion_control} if column.transport == "quic" else {}
    workload = scenario.workloads[cell.workload]
    own: dict[str, Any] = {
        "classes": {
            item.name: {
                "deadline": f"{item.deadline_s}s",
                "token_deadline": f"{item.token_deadline_s}s",
                "priority": item.priority,
                "level": item.level,
                "weight": item.weight,
                "on_miss": item.on_miss,
            }
            for item in scenario.classes.values()
        },
        "default_class": next(iter(scenario.classes)),
        "proxy": {"daemons": [f"{daemon}:{DAEMON_PORT}"], "server_name": "localhost", "drain": "0s", **control},
        "daemon": {
            "listen": f"{daemon}:{DAEMON_PORT}",
            "drain": "0s",
            "routes": {
                ROUTE: {
                    "policy": cell.policy,
                    "candidates": [
                        {"triton": TRITON, "model": item.model, "quality": item.quality, "profile": str(profiles)}
                        for item in workload.candidates
                    ],
                }
            },
            **control,
        },
    }
    if column.scheduler is not None:
        own["scheduler"] = column.scheduler
    if scenario.trace:
        own["telemetry"] = {"metrics_listen": METRICS}
    made = headway.config(
        headway.HeadwaySettings(transport=column.transport, config=headway.merged(own, scenario.headway)),
        backend=f"127.0.0.1:{PORTS.grpc}",
        proxy_address=PROXY,
        daemon_port=DAEMON_PORT,
        certificates=certificates,
        directory=directory,
    )
    made["daemon"]["tritons"] = {TRITON: {"url": f"127.0.0.1:{PORTS.grpc}"}}
    made["daemon"]["default"] = TRITON
    return made


async def run_cell(
    cell: Cell,
    requests: Sequence[TokenRequest],
    scenario: EndToEndScenario,
    *,
    certificates: Certificates,
    directory: Path,
) -> CellRun:
    """Run it; what it writes goes to `directory`, which is there and empty. Raises `CellError`."""
    models = [candidate.model for candidate in scenario.workloads[cell.workload].candidates]
    asked, answered = directory / "requests.json", directory / "outcomes.json"
    write_requests(asked, requests)
    command = {
        "run": PROXY,
        "requests": str(asked),
        "route": ROUTE,
        "answer_bytes": scenario.answer_bytes,
        "outcomes": str(answered),
        "sample": f"http://{METRICS}/metrics" if scenario.trace else None,
    }
    try:
        async with _stations(cell, scenario, certificates, directory) as (link, children):
            client = children["client"]
            warm_up = {"warm_up": PROXY, "models": models, "timeout": WARM_UP_TIMEOUT_S}
            await client.ask(warm_up, limit_s=WARM_UP_TIMEOUT_S + HANG_S)
            programs = {name: [psutil.Process(child.pid)] for name, child in children.items()}
            before = {name: cpu_s(found) for name, found in programs.items()}
            waited_before = {name: _waited_s(found[0]) for name, found in programs.items()}
            link.restart_clock()
            link.statistics(reset=True)
            began = time.monotonic()
            answer = await client.ask(command, limit_s=requests[-1].arrival_s + HANG_S)
            seconds = time.monotonic() - began
            used = {name: cpu_s(found) - before[name] for name, found in programs.items()}
            waited = {name: _waited_s(found[0]) - waited_before[name] for name, found in programs.items()}
            for child in children.values():
                if (ended := child.ended()) is not None:
                    raise ended
            carried = link.statistics().as_json()
    except (ChildError, LinkError, OSError) as error:
        raise CellError(str(error)) from error
    outcomes = read_outcomes(answered)
    return CellRun(
        outcomes,
        seconds,
        carried,
        used,
        waited,
        max(outcome.sent_s - outcome.arrival_s for outcome in outcomes),
        answer["samples"],
        decisions(directory / "traces.jsonl", began_unix_s=answer["began_unix"]) if scenario.trace else (),
    )


def profiles_file(workload: Workload, file: Path) -> Path:
    """The candidates' profiles as the daemon reads them."""
    write_entries(file, [ProfileEntry(item.model, item.profile) for item in workload.candidates])
    return file


def _waited_s(process: psutil.Process) -> float:
    found = waited_s(process.pid)
    for child in process.children(recursive=True):
        found += waited_s(child.pid)
    return found


@contextlib.asynccontextmanager
async def _stations(
    cell: Cell, scenario: EndToEndScenario, certificates: Certificates, directory: Path
) -> AsyncIterator[tuple[EmulatedLink, dict[str, Child]]]:
    """The link and client, proxy, daemon and backend, all ready."""
    (directory / "token").write_text(secrets.token_urlsafe(24) + "\n")
    workload = scenario.workloads[cell.workload]
    profiles = profiles_file(workload, directory / "profiles.yaml")
    models = [EmulatedModel(item.model, item.profile, cell.seed) for item in workload.candidates]
    repository = write_repository(directory / "models", models)
    async with EmulatedLink(scenario.link, seed=cell.seed) as link:
        if cell.column.transport == "tcp":
            for side in (link.near, link.far):
                side.sysctl("net.ipv4.tcp_congestion_control", cell.column.congestion_control)
        content = config(
            cell,
            scenario,
            daemon=link.far.address,
            profiles=profiles,
            certificates=certificates,
            directory=directory,
        )
        file = directory / "headway.yaml"
        file.write_text(yaml.safe_dump(content, sort_keys=False))
        near, far = link.near.command, link.far.command
        environment = {**({} if scenario.trace else UNTRACED), **scenario.environment}

        def end(role: str) -> list[str]:
            return python("proxy.cli", role, "-c", str(file))

        backend = python("ops.bench.end_to_end.backend", str(repository), str(directory / "triton.log"))
        programs = {
            "client": Program(near(python("ops.bench.end_to_end.client")), directory / "client.log", talks=True),
            "proxy": Program(near(end("proxy")), directory / "proxy.log", listens),
            "daemon": Program(far(end("daemon")), directory / "daemon.log", listens),
            "backend": Program(far(backend), directory / "backend.log"),
        }
        async with started_together(programs, environment=environment, start_timeout_s=START_TIMEOUT_S) as children:
            yield link, children
