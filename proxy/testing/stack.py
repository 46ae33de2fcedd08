"""Proxy and daemon in front of a backend, for tests: in this process, or as real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from proxy.children import send_signal
from proxy.commands.certs import make_certs
from proxy.compose.backend import Daemon
from proxy.compose.frontend import Proxy
from proxy.config import load_config
from proxy.tasks import spawn
from proxy.testing.ports import free_port

START_TIMEOUT_S = 20.0


class StackFiles:
    """A directory with certificates, a token and one configuration for both ends."""

    def __init__(
        self,
        backend_address: str,
        *,
        transport: str = "quic",
        proxy: Mapping[str, Any] | None = None,
        daemon: Mapping[str, Any] | None = None,
        top: Mapping[str, Any] | None = None,
        max_message_bytes: int | None = None,
    ) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="headway-stack-")
        self.path = Path(self._directory.name)
        make_certs(self.path / "certs", now=datetime.now(UTC))
        limits = {} if max_message_bytes is None else {"max_message_bytes": max_message_bytes}
        self.settings: dict[str, Any] = {
            "telemetry": {"traces_file": "traces.jsonl"},
            **(top or {}),
            "proxy": {
                "listen": "127.0.0.1:0",
                "ca": "certs/ca.pem",
                "token_file": "certs/token",
                "transport": transport,
                **limits,
                **(proxy or {}),
            },
            "daemon": {
                "listen": "127.0.0.1:0",
                "cert": "certs/daemon.pem",
                "key": "certs/daemon.key",
                "token_file": "certs/token",
                "tritons": {"a": {"url": backend_address}},
                **limits,
                **(daemon or {}),
            },
        }
        """What `write` puts into a file; may be changed before."""

    def write(self, name: str, *, daemon_listen: str, proxy_listen: str = "") -> Path:
        """The configuration with these addresses, in a file called `name`.

        Without `proxy_listen`, of the daemon alone.
        """
        settings = dict(self.settings)
        if proxy_listen:
            settings["proxy"] = {"daemons": [daemon_listen], **settings["proxy"], "listen": proxy_listen}
        else:
            del settings["proxy"]
        settings["daemon"] = {**settings["daemon"], "listen": daemon_listen}
        path = self.path / name
        path.write_text(yaml.safe_dump(settings))
        return path

    def remove(self) -> None:
        """Delete the directory."""
        self._directory.cleanup()


class HeadwayStack:
    """Proxy and daemon on this event loop: `async with HeadwayStack(backend) as stack: stack.address`.

    `proxy`, `daemon` and `top` are settings that replace the configuration's, in the file's form; `max_message_bytes`
    limits both ends.
    """

    def __init__(self, backend_address: str, *, transport: str = "quic", **settings: Any) -> None:
        self.files = StackFiles(backend_address, transport=transport, **settings)
        self.daemon: Daemon
        self.proxy: Proxy

    @property
    def address(self) -> str:
        """Where clients connect."""
        return self.proxy.address

    async def __aenter__(self) -> Self:
        self.daemon = Daemon(
            load_config(self.files.write("daemon.yaml", daemon_listen="127.0.0.1:0"), roles=["daemon"])
        )
        await self.daemon.start()
        path = self.files.write("proxy.yaml", daemon_listen=self.daemon.address, proxy_listen="127.0.0.1:0")
        self.proxy = Proxy(load_config(path, roles=["proxy"]))
        await self.proxy.start()
        async with asyncio.timeout(START_TIMEOUT_S):
            await asyncio.gather(*(tunnel.wait_settled() for tunnel in self.proxy.tunnels))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.proxy.close()
        await self.daemon.close()
        self.files.remove()


class HeadwayProcess:
    """`headway proxy` or `headway daemon` as a process of its own, with what it logs."""

    def __init__(self, role: str, config: Path) -> None:
        self._role = role
        self._config = config
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._lines: list[str] = []
        self._began = 0
        self._news = asyncio.Event()

    def __repr__(self) -> str:
        state = "not started" if self._process is None else f"pid={self._process.pid} code={self._process.returncode}"
        return f"<HeadwayProcess {self._role} {state} lines={len(self._lines)}>"

    @property
    def process(self) -> asyncio.subprocess.Process:
        """The one that was started last. Raises RuntimeError before."""
        if self._process is None:
            raise RuntimeError(f"{self!r} is not running")
        return self._process

    @property
    def log(self) -> str:
        """What it has logged so far, over all its lives."""
        return "".join(self._lines)

    async def launch(self) -> None:
        """Start it, and wait for nothing."""
        self._began = len(self._lines)
        process = self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "proxy.cli",
            self._role,
            "-c",
            str(self._config),
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self._reader = spawn(self._read(process), name=f"log of {self._role}")

    async def start(self) -> None:
        """Start it; returns when it listens. Raises RuntimeError with its log if it ends instead."""
        await self.launch()
        await self.logged(" listens on ")

    async def logged(self, text: str, *, times: int = 1, within_s: float = START_TIMEOUT_S) -> None:
        """Return once `text` has been logged so often since it was started last."""
        process = self.process
        async with asyncio.timeout(within_s):
            while self._current().count(text) < times:
                if process.returncode is not None and (self._reader is None or self._reader.done()):
                    raise RuntimeError(f"{self._role} exited with {process.returncode}:\n{self.log[-4000:]}")
                self._news.clear()
                await self._news.wait()

    async def signal(self, number: signal.Signals) -> int:
        """Send a signal; returns the exit code when it is gone."""
        send_signal(self.process, number)
        return await self.exited()

    async def exited(self) -> int:
        """Its exit code, once it is gone and all of its log is here."""
        code = await self.process.wait()
        if self._reader is not None:
            await self._reader
        return code

    async def stop(self) -> None:
        """Make sure that it is gone."""
        if self._process is not None and self._process.returncode is None:
            send_signal(self._process, signal.SIGKILL)
        if self._process is not None:
            await self.exited()

    def _current(self) -> str:
        """What it has logged since it was started last."""
        return "".join(self._lines[self._began :])

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        if process.stderr is not None:
            async for line in process.stderr:
                self._lines.append(line.decode())
                self._news.set()
        await process.wait()
        self._news.set()


class ProcessStack:
    """Proxy and daemon as processes of their own, for tests that measure, kill or restart them.

    With `start` False nothing runs until `start_daemon` and `start_proxy` are called.
    """

    def __init__(self, backend_address: str, *, transport: str = "quic", start: bool = True, **settings: Any) -> None:
        self.files = StackFiles(backend_address, transport=transport, **settings)
        self.address = f"127.0.0.1:{free_port()}"
        """Where clients connect."""
        self.daemon_address = f"127.0.0.1:{free_port()}"
        """Where the daemon listens, also after it was started again."""
        self._start = start
        self._processes: dict[str, HeadwayProcess] = {}

    @property
    def proxy_process(self) -> asyncio.subprocess.Process:
        """The proxy."""
        return self.process("proxy").process

    @property
    def daemon_process(self) -> asyncio.subprocess.Process:
        """The daemon."""
        return self.process("daemon").process

    @property
    def proxy_pid(self) -> int:
        """The proxy's process."""
        return self.proxy_process.pid

    @property
    def daemon_pid(self) -> int:
        """The daemon's process."""
        return self.daemon_process.pid

    async def __aenter__(self) -> Self:
        if self._start:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.start_daemon(), name="daemon")
                group.create_task(self.start_proxy(), name="proxy")
            await self.logged("proxy", f"Tunnel to {self.daemon_address} is up")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*(process.stop() for process in self._processes.values()))
        self.files.remove()

    async def start_daemon(self) -> None:
        """Start the daemon, at the address it had before; returns when it listens."""
        await self.process("daemon").start()

    async def start_proxy(self) -> None:
        """Start the proxy, at the address it had before; returns when it listens."""
        await self.process("proxy").start()

    async def kill_daemon(self) -> None:
        """SIGKILL."""
        await self.process("daemon").signal(signal.SIGKILL)

    async def kill_proxy(self) -> None:
        """SIGKILL."""
        await self.process("proxy").signal(signal.SIGKILL)

    async def terminate_daemon(self) -> int:
        """SIGTERM; returns the exit code when it is gone."""
        return await self.process("daemon").signal(signal.SIGTERM)

    async def terminate_proxy(self) -> int:
        """SIGTERM; returns the exit code when it is gone."""
        return await self.process("proxy").signal(signal.SIGTERM)

    def log(self, role: str) -> str:
        """What `proxy` or `daemon` has logged so far."""
        return self.process(role).log

    async def logged(self, role: str, text: str, *, times: int = 1) -> None:
        """Return once `proxy` or `daemon` has logged `text` so often since it was started last."""
        await self.process(role).logged(text, times=times)

    def process(self, role: str) -> HeadwayProcess:
        """`proxy` or `daemon`, running or not."""
        found = self._processes.get(role)
        if found is None:
            proxy_listen = self.address if role == "proxy" else ""
            config = self.files.write(f"{role}.yaml", daemon_listen=self.daemon_address, proxy_listen=proxy_listen)
            found = self._processes[role] = HeadwayProcess(role, config)
        return found
