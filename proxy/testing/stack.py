"""Proxy and daemon in front of a backend, for tests: in this process, or as real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from proxy.commands.certs import make_certs
from proxy.compose.backend import Daemon
from proxy.compose.frontend import Proxy
from proxy.config import load_config

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
        self._settings: dict[str, Any] = {
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

    def write(self, name: str, *, daemon_listen: str, proxy_listen: str = "") -> Path:
        """The configuration with these addresses, in a file called `name`.

        Without `proxy_listen`, of the daemon alone.
        """
        settings = dict(self._settings)
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


class ProcessStack:
    """Proxy and daemon as processes of their own, for tests that measure, kill or restart them."""

    def __init__(self, backend_address: str, *, transport: str = "quic", **settings: Any) -> None:
        self.files = StackFiles(backend_address, transport=transport, **settings)
        self._proxy: asyncio.subprocess.Process | None = None
        self._daemon: asyncio.subprocess.Process | None = None
        self.address = ""
        self.daemon_address = ""

    @property
    def proxy_process(self) -> asyncio.subprocess.Process:
        """The proxy."""
        if self._proxy is None:
            raise RuntimeError("the stack is not running")
        return self._proxy

    @property
    def daemon_process(self) -> asyncio.subprocess.Process:
        """The daemon."""
        if self._daemon is None:
            raise RuntimeError("the stack is not running")
        return self._daemon

    @property
    def proxy_pid(self) -> int:
        """The proxy's process."""
        return self.proxy_process.pid

    @property
    def daemon_pid(self) -> int:
        """The daemon's process."""
        return self.daemon_process.pid

    async def __aenter__(self) -> Self:
        self.daemon_address = f"127.0.0.1:{free_port()}"
        self.address = f"127.0.0.1:{free_port()}"
        await self.start_daemon()
        await self.start_proxy()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in (self._proxy, self._daemon):
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()
        self.files.remove()

    async def start_daemon(self) -> None:
        """Start the daemon, at the address it had before; returns when it listens."""
        path = self.files.write("daemon.yaml", daemon_listen=self.daemon_address)
        self._daemon = await self._start("daemon", path)

    async def start_proxy(self) -> None:
        """Start the proxy, at the address it had before; returns when it listens."""
        path = self.files.write("proxy.yaml", daemon_listen=self.daemon_address, proxy_listen=self.address)
        self._proxy = await self._start("proxy", path)

    async def kill_daemon(self) -> None:
        """SIGKILL."""
        await _signal(self.daemon_process, signal.SIGKILL)

    async def kill_proxy(self) -> None:
        """SIGKILL."""
        await _signal(self.proxy_process, signal.SIGKILL)

    async def terminate_daemon(self) -> int:
        """SIGTERM; returns the exit code when it is gone."""
        return await _signal(self.daemon_process, signal.SIGTERM)

    async def terminate_proxy(self) -> int:
        """SIGTERM; returns the exit code when it is gone."""
        return await _signal(self.proxy_process, signal.SIGTERM)

    def log(self, role: str) -> str:
        """What `proxy` or `daemon` has logged so far."""
        return (self.files.path / f"{role}.log").read_text()

    async def _start(self, role: str, config: Path) -> asyncio.subprocess.Process:
        log = self.files.path / f"{role}.log"
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "proxy.cli",
                role,
                "-c",
                str(config),
                stdout=asyncio.subprocess.PIPE,
                stderr=output,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        listen = self.daemon_address if role == "daemon" else self.address
        host, _, port = listen.rpartition(":")
        async with asyncio.timeout(START_TIMEOUT_S):
            while True:
                if process.returncode is not None:
                    raise RuntimeError(f"{role} exited with {process.returncode}:\n{log.read_text()[-4000:]}")
                try:
                    _, writer = await asyncio.open_connection(host, int(port))
                except OSError:
                    await asyncio.sleep(0.02)
                    continue
                writer.close()
                return process


async def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> int:
    process.send_signal(number)
    return await process.wait()


def free_port() -> int:
    """A port that nobody listens on, neither TCP nor UDP, a moment ago."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port: int = tcp.getsockname()[1]
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
