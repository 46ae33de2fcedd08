"""A real Triton server as a child process, for the demo and for tests.

    async with TritonServer(model_repository()) as triton:
        client = tritonclient.grpc.aio.InferenceServerClient(triton.grpc_url)

It listens on loopback, on free ports that stay the same over `kill` and `start`. Leaving the block ends the server
and the processes of its models, and removes their shared memory and temporary files. Should this process be killed
instead, the kernel ends the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
import grpc.aio

from proxy.children import send_signal
from proxy.demo.triton_wheel import TritonWheel, find_triton_wheel
from proxy.errors import HeadwayError
from proxy.tasks import spawn

HOST = "127.0.0.1"

PORT_ATTEMPTS = 5
"""Another program can take a port between our choosing it and Triton's binding it; then others are tried."""

PORT_TAKEN = re.compile(r"already in use|[Ff]ailed to (?:start|bind)|unable to bind")
"""What Triton 2.51 logs when it cannot bind a port."""

STARTED = ("Started GRPCInferenceService at", "Started HTTPService at", "Started Metrics Service at")
"""What Triton 2.51 logs, with the address, when a port is open. A connection alone would prove nothing: it may be
another server's, and Triton opens its gRPC port before it finds that a later one is taken."""

SERVER_READY = "/inference.GRPCInferenceService/ServerReady"
READY = b"\x08\x01"
"""`ServerReadyResponse` with `ready` (field 1) true."""

LOG_TAIL_LINES = 15
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 (where Linux keeps it; names in it are Triton's own)

LAUNCH = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""
"""Ask the kernel for SIGTERM when the parent dies (prctl's PR_SET_PDEATHSIG is 1), then become Triton."""


class TritonError(HeadwayError):
    """Triton did not start, or is not running; the text has the end of its log."""


@dataclass(frozen=True)
class TritonSettings:
    """How to run one server."""

    models: tuple[str, ...] = ()
    """Load only these; all in the repository when empty."""
    explicit_control: bool = True
    """Let clients load and unload models through the repository API."""
    trace_otlp_url: str | None = None
    """Send a span for every request here, OTLP over HTTP: `http://HOST:4318/v1/traces`."""
    start_timeout_s: float = 60.0
    """From start to ready."""
    stop_grace_s: float = 1.0
    """What requests in flight get before the server ends regardless. Triton counts whole seconds."""
    log_file: Path | None = None
    """Append Triton's output here; by default a file that goes when the server goes."""


@dataclass(frozen=True)
class Ports:
    """One server's ports on loopback."""

    grpc: int
    http: int
    metrics: int


def model_repository() -> Path:
    """The demo's models: in the source tree under examples/, in an installed headway beside this file."""
    here = Path(__file__).resolve().parent
    candidates = [here / "models" / "repository", here.parents[1] / "examples" / "models" / "repository"]
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    raise TritonError(f"the demo's models are missing: looked in {' and '.join(map(str, candidates))}")


def free_ports() -> Ports:
    """Three ports that nothing listens on now. All are held until all are found, so that they differ."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(3)]
        for each in sockets:
            each.bind((HOST, 0))
        return Ports(*(each.getsockname()[1] for each in sockets))


class TritonServer:
    """One Triton. An async context manager; `kill`, `stop` and `start` work on the same ports in between."""

    def __init__(
        self,
        repository: Path | Sequence[Path],
        settings: TritonSettings | None = None,
        *,
        choose_ports: Callable[[], Ports] = free_ports,
    ) -> None:
        self._repositories = [repository] if isinstance(repository, Path) else list(repository)
        self._settings = settings or TritonSettings()
        self._choose_ports = choose_ports
        self._ports: Ports | None = None
        self._folder: Path | None = None
        self._wheel: TritonWheel | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._gone: asyncio.Task[None] | None = None
        self._prefix = f"headway-{os.getpid()}-{secrets.token_hex(4)}-"
        """Names of this server's shared memory begin with it."""

    def __repr__(self) -> str:
        state = f"pid {self.pid}" if self.running else "stopped"
        return f"<TritonServer {state} {self._ports}>"

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._close()

    @property
    def ports(self) -> Ports:
        """Where it listens; known from the first start on."""
        if self._ports is None:
            raise TritonError("Triton has not been started")
        return self._ports

    @property
    def grpc_url(self) -> str:
        """HOST:PORT, as tritonclient and a headway configuration want it."""
        return f"{HOST}:{self.ports.grpc}"

    @property
    def http_url(self) -> str:
        """HOST:PORT, as tritonclient wants it."""
        return f"{HOST}:{self.ports.http}"

    @property
    def metrics_url(self) -> str:
        """The Prometheus page."""
        return f"http://{HOST}:{self.ports.metrics}/metrics"

    @property
    def running(self) -> bool:
        """Whether the process exists."""
        return self._gone is not None and not self._gone.done()

    @property
    def pid(self) -> int:
        """The server's process, which leads a process group of its own."""
        if self._process is None:
            raise TritonError("Triton has not been started")
        return self._process.pid

    @property
    def log_file(self) -> Path:
        """Triton's output."""
        if self._settings.log_file is not None:
            return self._settings.log_file
        if self._folder is None:
            raise TritonError("Triton has not been started")
        return self._folder / "triton.log"

    async def start(self) -> None:
        """Start the server and wait until it is ready. Raises TritonError with the end of its log."""
        if self.running:
            return
        if self._wheel is None or self._folder is None:
            self._wheel = await asyncio.to_thread(find_triton_wheel)
            self._folder = Path(tempfile.mkdtemp(prefix="headway-triton-"))
            (self._folder / "tmp").mkdir()
            await asyncio.to_thread(self._wheel.lay_out, self._folder)
        if self._ports is not None:
            await self._start_on(self._ports, self._wheel, self._folder)
            return
        for attempt in range(PORT_ATTEMPTS):
            self._ports = self._choose_ports()
            try:
                await self._start_on(self._ports, self._wheel, self._folder)
            except TritonError as error:
                if attempt + 1 == PORT_ATTEMPTS or not PORT_TAKEN.search(str(error)):
                    raise
            else:
                return

    async def stop(self) -> None:
        """End it as an operator would: SIGTERM, and SIGKILL to what is left after the grace."""
        if self._process is None or self._gone is None:
            return
        if self.running:
            send_signal(self._process, signal.SIGTERM)
            # Two seconds beyond the grace that Triton was given: it looks at its clock once a second.
            await asyncio.wait([self._gone], timeout=self._settings.stop_grace_s + 2.0)
        await self.kill()

    async def kill(self) -> None:
        """SIGKILL, as when a machine fails: the server and all processes of its models, at once."""
        if self._process is None or self._gone is None:
            return
        if self.running:
            _kill_group(self._process.pid)
        # Not awaited itself: to be cancelled here must not cancel the cleaning up.
        await asyncio.wait([self._gone])

    async def restart(self) -> None:
        """Stop, and start on the same ports."""
        await self.stop()
        await self.start()

    async def exited(self) -> None:
        """Return when the server has ended and what it left is cleaned up."""
        if self._gone is not None:
            await asyncio.wait([self._gone])

    def failure(self) -> TritonError:
        """What to raise when it has ended too early."""
        status = None if self._process is None else self._process.returncode
        return TritonError(f"Triton ended with status {status}; the end of its log:\n{self.log_tail()}")

    def log_tail(self, lines: int = LOG_TAIL_LINES) -> str:
        """The last lines of Triton's output, for error messages."""
        try:
            text = self.log_file.read_text(errors="replace")
        except FileNotFoundError:
            return ""
        # Its tables of settings are wide, and what matters of them is also said in a line.
        return "\n".join([line for line in text.splitlines() if line.strip() and line[0] not in "+|"][-lines:])

    async def _close(self) -> None:
        try:
            await self.stop()
        finally:
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    async def _start_on(self, ports: Ports, wheel: TritonWheel, folder: Path) -> None:
        with self.log_file.open("ab") as log:
            log_start = log.tell()
            self._process = await asyncio.create_subprocess_exec(
                # -I and -S: the launcher needs nothing but the standard library, and must not run site's hooks.
                *(sys.executable, "-I", "-S", "-c", LAUNCH, str(os.getpid())),
                *self._command(ports, wheel, folder),
                env=_environment(wheel, folder),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Its own group: Ctrl-C in the terminal reaches us alone, and all that Triton starts can be ended.
                start_new_session=True,
            )
        self._gone = spawn(self._clean_up_after(self._process), name="triton-exit")
        ready = spawn(self._until_ready(ports, log_start), name="triton-ready")
        timeout_s = self._settings.start_timeout_s
        try:
            await asyncio.wait([ready, self._gone], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if ready.done() and ready.result():
                return
            exited = self._gone.done()
        except BaseException:
            await self.kill()
            raise
        finally:
            ready.cancel()
        await self.kill()
        if exited:
            what = f"ended with status {self._process.returncode}"
        elif ready.cancelled():
            what = f"was not ready after {timeout_s:g} s"
        else:
            what = "could not open its ports"
        raise TritonError(f"Triton {what}; the end of its log:\n{self.log_tail()}")

    async def _until_ready(self, ports: Ports, log_start: int) -> bool:
        """Wait for all three ports; False when one is taken by somebody else."""
        wanted = [
            f"{text} {HOST}:{port}" for text, port in zip(STARTED, (ports.grpc, ports.http, ports.metrics), strict=True)
        ]
        options = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200)]
        options += [("grpc.min_reconnect_backoff_ms", 50), ("grpc.use_local_subchannel_pool", 1)]
        seen = ""
        with self.log_file.open(errors="replace") as log:
            log.seek(log_start)
            while not all(text in seen for text in wanted):
                await asyncio.sleep(0.02)
                seen += log.read()
            async with grpc.aio.insecure_channel(self.grpc_url, options=options) as channel:
                ask = channel.unary_unary(SERVER_READY, request_serializer=None, response_deserializer=None)
                while True:
                    with contextlib.suppress(grpc.aio.AioRpcError):
                        if await ask(b"", wait_for_ready=True) == READY:
                            break
                    await asyncio.sleep(0.02)
            # A metrics port that is taken does not end Triton; it logs that it started, then that it did not.
            while not await _page_answers(ports.metrics, "/metrics") and not PORT_TAKEN.search(seen):
                await asyncio.sleep(0.02)
                seen += log.read()
            seen += log.read()
        return not PORT_TAKEN.search(seen)

    async def _clean_up_after(self, process: asyncio.subprocess.Process) -> None:
        """When the server ends, however it does, end its models' processes and remove their shared memory."""
        await process.wait()
        await asyncio.to_thread(_end_group, process.pid)
        await asyncio.to_thread(_remove_shared_memory, self._prefix)

    def _command(self, ports: Ports, wheel: TritonWheel, folder: Path) -> list[str]:
        settings = self._settings
        command = [str(wheel.server)]
        command += [f"--model-repository={repository}" for repository in self._repositories]
        if settings.explicit_control or settings.models:
            command.append("--model-control-mode=explicit")
            command += [f"--load-model={name}" for name in settings.models or ("*",)]
        command += [f"--grpc-address={HOST}", f"--grpc-port={ports.grpc}"]
        command += [f"--http-address={HOST}", f"--http-port={ports.http}"]
        command += [f"--metrics-address={HOST}", f"--metrics-port={ports.metrics}", "--metrics-interval-ms=1000"]
        command += [f"--backend-directory={folder / 'backends'}", "--disable-auto-complete-config"]
        command.append(f"--backend-config=python,shm-region-prefix-name={self._prefix}")
        command += [f"--exit-timeout-secs={round(settings.stop_grace_s)}", "--pinned-memory-pool-byte-size=0"]
        if settings.trace_otlp_url is not None:
            command += ["--trace-config", "mode=opentelemetry"]
            command += ["--trace-config", f"opentelemetry,url={settings.trace_otlp_url}"]
            # The default is to hold spans for five seconds.
            command += ["--trace-config", "opentelemetry,bsp_schedule_delay=200"]
            command += ["--trace-config", "rate=0", "--trace-config", "level=TIMESTAMPS"]
        return command


def _environment(wheel: TritonWheel, folder: Path) -> dict[str, str]:
    environment = dict(os.environ)
    libraries = [str(wheel.libraries), str(folder / "libraries"), environment.get("LD_LIBRARY_PATH", "")]
    environment["LD_LIBRARY_PATH"] = ":".join(filter(None, libraries))
    # The stub takes the Python whose environment the models see from PATH.
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment.get('PATH', os.defpath)}"
    environment["TMPDIR"] = str(folder / "tmp")
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    return environment


async def _page_answers(port: int, path: str) -> bool:
    """Whether an HTTP server gives the page within a second."""
    try:
        async with asyncio.timeout(1.0):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
                status = await reader.readline()
            finally:
                writer.close()
    except OSError:  # TimeoutError is one
        return False
    return b" 200 " in status


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def _end_group(leader: int) -> None:
    """Kill what the leader left behind, and return when it is gone, within two seconds."""
    _kill_group(leader)
    # Those processes belong to the system now, so their end can't be waited for, only seen.
    deadline = time.monotonic() + 2.0
    while _group_exists(leader) and time.monotonic() < deadline:
        time.sleep(0.01)


def _remove_shared_memory(prefix: str) -> None:
    for left in SHARED_MEMORY.glob(f"{prefix}*"):
        left.unlink(missing_ok=True)


def _group_exists(leader: int) -> bool:
    """Whether a process of the group still runs. One that has ended and waits to be reaped does not count."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # After the program's name in parentheses: state, parent, process group (proc_pid_stat(5)).
            state, _, group = path.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(group) == leader and state not in "ZX":
            return True
    return False
