"""headway itself as a path: proxy and daemon as processes of their own, from the command line that a user types."""

from __future__ import annotations

import contextlib
import secrets
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ops.bench.certificates import Certificates
from ops.bench.processes import Child, Program, listens, started_together
from ops.bench.profiling import Profiling
from proxy.testing.ports import free_port


@dataclass(frozen=True, slots=True)
class HeadwaySettings:
    """What of headway the scenario decides."""

    transport: str = "quic"
    config: Mapping[str, Any] = field(default_factory=dict)
    """Merged into the configuration file."""
    environment: Mapping[str, str] = field(default_factory=dict)
    profiling: Profiling | None = None


@dataclass(frozen=True, slots=True)
class RunningHeadway:
    """A proxy that takes calls, when `load` has probed it."""

    address: str
    proxy: Child
    daemon: Child


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`, mapping by mapping."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return result


def config(
    settings: HeadwaySettings,
    *,
    backend: str,
    proxy_address: str,
    daemon_port: int,
    certificates: Certificates,
    directory: Path,
) -> dict[str, Any]:
    """The configuration file of both ends: a daemon without routes, which is a plain gRPC tunnel."""
    token_file = str(directory / "token")
    base = {
        "proxy": {
            "listen": proxy_address,
            "daemons": [f"localhost:{daemon_port}"],
            "ca": str(certificates.ca),
            "token_file": token_file,
            "transport": settings.transport,
        },
        "daemon": {
            "listen": f"127.0.0.1:{daemon_port}",
            "cert": str(certificates.cert),
            "key": str(certificates.key),
            "token_file": token_file,
            "tritons": {"echo": {"url": backend}},
            "default": "echo",
        },
        "telemetry": {"traces_file": str(directory / "traces.jsonl")},
    }
    return merged(base, settings.config)


@contextlib.asynccontextmanager
async def running_headway(
    name: str, settings: HeadwaySettings, *, backend: str, certificates: Certificates, directory: Path
) -> AsyncIterator[RunningHeadway]:
    """Run daemon and proxy until the block ends. Raises `ChildError` when one does not start."""
    (directory / "token").write_text(secrets.token_urlsafe(24) + "\n")
    proxy_address, daemon_port = f"127.0.0.1:{free_port()}", free_port()
    content = config(
        settings,
        backend=backend,
        proxy_address=proxy_address,
        daemon_port=daemon_port,
        certificates=certificates,
        directory=directory,
    )
    file = directory / "headway.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    programs = {
        f"{name} {role}": Program(
            _command(role, file, settings.profiling.command(f"{name}-{role}") if settings.profiling else ()),
            directory / f"{role}.log",
            listens,
        )
        for role in ("daemon", "proxy")
    }
    async with started_together(programs, environment=settings.environment) as children:
        daemon, proxy = children.values()
        yield RunningHeadway(proxy_address, proxy, daemon)


def _command(role: str, file: Path, profiler: tuple[str, ...]) -> list[str]:
    return [sys.executable, *(profiler or ("-m",)), "proxy.cli", role, "-c", str(file)]
