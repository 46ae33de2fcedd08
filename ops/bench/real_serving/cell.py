"""One cell: a fresh proxy and daemon before a Triton of emulated models, and a client that sends a seed's trace."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from ops.bench import headway
from ops.bench.certificates import Certificates
from ops.bench.load import cpu_s
from ops.bench.network.emulated import waited_s
from ops.bench.processes import Child, ChildError, Program, listens, python, started_together
from ops.bench.real_serving.client import STREAM_END_S
from ops.bench.real_serving.figures import difference, lateness, metrics, result_of
from ops.bench.real_serving.requests import planned, read_answers, write_requests
from ops.bench.real_serving.scenario import RealServingScenario
from ops.emulated.repository import PREFIX, EmulatedModel
from policies.profile_file import ProfileEntry, write_entries
from policies.selection.registry import make_policy
from policies.simulation.run import run as simulate
from policies.simulation.trace import draw
from policies.simulation.workload import Workload
from policies.traffic import NO_DEADLINE
from proxy.demo.triton_server import TritonServer
from proxy.testing.ports import free_port

ROUTE = "llm"
TRITON = "a"
WARM_UP_CALLS = 5
TIMEOUT_S = 30.0
"""For a warm-up call, and for the client to answer after all is over."""
UNTRACED = {"OTEL_SDK_DISABLED": "true"}
"""Spans of each request cost CPU time and show nothing here."""
STATIC = "static:"


@dataclass(frozen=True, slots=True)
class Cell:
    """What is measured at once."""

    workload: str
    policy: str
    """By the candidates' names in the workload."""
    seed: int

    def __str__(self) -> str:
        return f"{self.workload} {self.policy} seed {self.seed}"

    def as_json(self) -> dict[str, Any]:
        """For the journal."""
        return asdict(self)


def cell_of(entry: Mapping[str, Any]) -> Cell:
    """The cell of a journal's line."""
    return Cell(str(entry["workload"]), str(entry["policy"]), int(entry["seed"]))


@dataclass(frozen=True, slots=True)
class CellRun:
    """What a cell has brought: figures of the real run, of the simulator's, and what the machine had to do."""

    metrics: Mapping[str, Any]
    simulated: Mapping[str, Any]
    seconds: float
    cpu_s: Mapping[str, float]
    """CPU time by process; `triton` is the server with the processes of its models."""
    waited_s: Mapping[str, float]
    """How long the threads of a process were ready to run and had no core."""
    lateness: Mapping[str, float]
    """Of the client, in seconds."""

    def as_json(self) -> dict[str, Any]:
        """For the journal and the results."""
        return {**asdict(self), "difference": difference(self.metrics, self.simulated)}


def configuration(
    cell: Cell,
    scenario: RealServingScenario,
    triton: str,
    triton_metrics: str,
    *,
    certificates: Certificates,
    directory: Path,
) -> dict[str, Any]:
    """The configuration file of proxy and daemon; the candidates' profiles are written into `directory`.

    `triton` is its gRPC address, `triton_metrics` the URL of its metrics.
    """
    workload = scenario.workloads[cell.workload]
    daemon_port = free_port()
    own = {
        "classes": {
            described.traffic.name: _class(workload, place) for place, described in enumerate(workload.classes)
        },
        "default_class": workload.classes[0].traffic.name,
        "scheduler": scenario.scheduler,
        "proxy": {"drain": "0s"},
        "daemon": {"drain": "0s"},
    }
    content = headway.config(
        headway.HeadwaySettings(config=headway.merged(own, scenario.headway)),
        backend=triton,
        proxy_address=f"127.0.0.1:{free_port()}",
        daemon_port=daemon_port,
        certificates=certificates,
        directory=directory,
    )
    candidates = []
    for described in workload.candidates:
        model, file = f"{PREFIX}{described.model}", directory / f"{described.model}.yaml"
        write_entries(file, [ProfileEntry(model, described.profile)])
        candidates.append({"triton": TRITON, "model": model, "quality": described.quality, "profile": str(file)})
    content["daemon"] |= {
        "tritons": {TRITON: {"url": triton, "metrics": triton_metrics}},
        "default": TRITON,
        "routes": {ROUTE: {"policy": real_policy(cell.policy), "candidates": candidates}},
    }
    return content


def real_policy(spec: str) -> str:
    """A policy as the daemon names it: its models are called after the emulated ones."""
    return f"{STATIC}{PREFIX}{spec.removeprefix(STATIC)}" if spec.startswith(STATIC) else spec


def _class(workload: Workload, place: int) -> dict[str, Any]:
    traffic = workload.classes[place].traffic
    found = {
        "deadline": f"{traffic.deadline_s}s",
        "weight": traffic.weight,
        "priority": place,
        "on_miss": traffic.on_miss,
    }
    if traffic.token_deadline_s != NO_DEADLINE:
        found["token_deadline"] = f"{traffic.token_deadline_s}s"
    return found


def simulated(workload: Workload, policy: str, seed: int) -> dict[str, Any]:
    """The simulator's figures for the same cell."""
    return metrics(simulate(workload, make_policy(policy), seed))


async def run_cell(
    cell: Cell,
    scenario: RealServingScenario,
    triton: TritonServer,
    models: list[EmulatedModel],
    *,
    certificates: Certificates,
) -> CellRun:
    """Run it; Triton has `models`, and nothing else to do. Raises `ChildError`."""
    workload = scenario.workloads[cell.workload]
    trace = draw(workload, cell.seed)
    requests = planned(workload, trace)
    names = [model.name for model in models]
    give_up_s = max(described.traffic.deadline_s for described in workload.classes) + scenario.settle_s
    with tempfile.TemporaryDirectory(prefix="headway-bench-") as name:
        directory = Path(name)
        (directory / "token").write_text(secrets.token_urlsafe(24) + "\n")
        content = configuration(
            cell, scenario, triton.grpc_url, triton.metrics_url, certificates=certificates, directory=directory
        )
        file = directory / "headway.yaml"
        file.write_text(yaml.safe_dump(content, sort_keys=False))
        programs = {
            "client": Program(python("ops.bench.real_serving.client"), directory / "client.log", talks=True),
            "proxy": Program(python("proxy.cli", "proxy", "-c", str(file)), directory / "proxy.log", listens),
            "daemon": Program(python("proxy.cli", "daemon", "-c", str(file)), directory / "daemon.log", listens),
        }
        async with started_together(programs, environment=UNTRACED, start_timeout_s=TIMEOUT_S) as children:
            client, proxy = children["client"], content["proxy"]["listen"]
            probe = {"calls": 1, "models": names, "streaming": workload.streaming, "timeout": TIMEOUT_S}
            # Each model answers from the end of its queue: what a cell before has left there is over then.
            await client.ask({**probe, "ask": triton.grpc_url}, limit_s=TIMEOUT_S * len(names))
            await client.ask(
                {**probe, "ask": proxy, "models": names[-1:], "calls": WARM_UP_CALLS}, limit_s=TIMEOUT_S * WARM_UP_CALLS
            )
            write_requests(directory / "requests.json", requests)
            command = {
                "run": proxy,
                "route": ROUTE,
                "requests": str(directory / "requests.json"),
                "give_up": give_up_s,
                "answers": str(directory / "answers.json"),
            }
            usage = Usage({**{name: child.pid for name, child in children.items()}, "triton": triton.pid})
            await client.ask(command, limit_s=workload.seconds + give_up_s + STREAM_END_S + TIMEOUT_S)
            used, waited = usage.since()
            _still_there(children)
        answers = read_answers(directory / "answers.json")
    return CellRun(
        metrics(result_of(workload, cell.policy, cell.seed, trace, answers)),
        simulated(workload, cell.policy, cell.seed),
        requests[-1].at + give_up_s,
        used,
        waited,
        lateness(answers, [request.at for request in requests]),
    )


def _still_there(children: Mapping[str, Child]) -> None:
    for child in children.values():
        if (ended := child.ended()) is not None:
            raise ended


class Usage:
    """What processes use from now on, by name; each with those that it has started."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids
        self._cpu_s, self._waited_s = self._now()

    def since(self) -> tuple[dict[str, float], dict[str, float]]:
        """CPU seconds, and seconds of waiting for a core, by name."""
        used, waited = self._now()
        return (
            {name: round(used[name] - self._cpu_s[name], 3) for name in used},
            {name: round(waited[name] - self._waited_s[name], 3) for name in waited},
        )

    def _now(self) -> tuple[dict[str, float], dict[str, float]]:
        used, waited = {}, {}
        for name, pid in self._pids.items():
            try:
                process = psutil.Process(pid)
            except psutil.NoSuchProcess:
                raise ChildError(f"{name} has ended") from None
            family = [process, *process.children(recursive=True)]
            used[name] = cpu_s([process])
            waited[name] = sum(waited_s(member.pid) for member in family)
        return used, waited
