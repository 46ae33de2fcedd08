"""The demo's daemon and proxy: child processes that end when the demo does, whatever ends it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from proxy.children import send_signal
from proxy.demo.triton_server import HOST, LAUNCH
from proxy.errors import HeadwayError

STOP_GRACE_S = 5.0
"""From SIGTERM to SIGKILL. No call is in flight by then, so only the spans' last flush (2 s) takes time."""
LOG_TAIL_LINES = 15
PORT_ATTEMPTS = 20


class DemoError(HeadwayError):
    """The demo can't go on; the text has the end of the log of the process at fault."""


class Watched(Protocol):
    """A child process that the demo can't do without."""

    async def exited(self) -> None:
        """Return when the process has ended."""

    def failure(self) -> HeadwayError:
        """What to raise when it has ended too early."""


class HeadwayProcess:
    """`headway proxy` or `headway daemon` on a configuration file. An async context manager; the log is in `folder`."""

    def __init__(self, role: str, config: Path, *, log_level: str = "warning") -> None:
        self.role = role
        self.log_file = config.with_name(f"{role}.log")
        self._arguments = [role, "-c", str(config), "--log-level", log_level]
        self._process: asyncio.subprocess.Process | None = None

    def __repr__(self) -> str:
        state = (
            "stopped" if self._process is None else f"pid {self._process.pid} {self._process.returncode or ''}".strip()
        )
        return f"<HeadwayProcess {self.role} {state}>"

    async def __aenter__(self) -> Self:
        with self.log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", LAUNCH, str(os.getpid())),
                *(sys.executable, "-m", "proxy.cli", *self._arguments),
                env=child_environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A Ctrl-C in the terminal reaches the demo alone, which then stops everything in order.
                start_new_session=True,
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def pid(self) -> int:
        """Its process id."""
        if self._process is None:
            raise DemoError(f"the {self.role} has not been started")
        return self._process.pid

    async def exited(self) -> None:
        """Return when the process has ended."""
        if self._process is not None:
            await self._process.wait()

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL after the grace. Does nothing once it has ended."""
        if self._process is None or self._process.returncode is not None:
            return
        send_signal(self._process, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), STOP_GRACE_S)
        if self._process.returncode is None:
            send_signal(self._process, signal.SIGKILL)
            await self._process.wait()

    def failure(self) -> DemoError:
        """What to raise when it has ended too early."""
        status = None if self._process is None else self._process.returncode
        lines = self.log_file.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return DemoError("\n".join([f"the {self.role} ended with status {status}; the end of its log:", *lines]))


def child_environment() -> dict[str, str]:
    """This process's environment without headway's settings: the demo's configuration file is to count alone."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADWAY_")}
    # Traffic of the demo stays on this machine; gRPC would otherwise ask http_proxy for it.
    hosts = filter(None, [environment.get("no_grpc_proxy") or environment.get("no_proxy"), "localhost", HOST])
    environment["no_grpc_proxy"] = ",".join(hosts)
    return environment


def free_tcp_port(*, preferred: int = 0) -> int:
    """A TCP port of loopback that nothing listens on now, `preferred` if that is one."""
    for port in (preferred, 0):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((HOST, port))
                return int(probe.getsockname()[1])
    raise DemoError("no free TCP port")


def free_tcp_and_udp_port() -> int:
    """A port that is free for both: the daemon listens on both."""
    for _ in range(PORT_ATTEMPTS):
        port = free_tcp_port()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port
    raise DemoError("no port is free for TCP and UDP")
