"""What a user sees of `headway proxy` and `headway daemon` as processes: the plain install, ports in use.

Whole processes, because grpc writes past Python's standard error and reads its settings once.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from pathlib import Path

import pytest

from proxy.children import send_signal
from proxy.cli import main

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]

PLAIN = """
import importlib.metadata, re, sys

wanted = set()

def add(distribution):
    name = re.sub(r"[-_.]+", "-", distribution).lower()
    if name in wanted:
        return
    wanted.add(name)
    try:
        requirements = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return
    for requirement in requirements:
        if "extra ==" not in requirement:
            add(re.match(r"[A-Za-z0-9._-]+", requirement)[0])

add("headway")
modules = importlib.metadata.packages_distributions()

class Plain:
    def find_spec(self, name, path=None, target=None):
        owners = modules.get(name.partition(".")[0], ())
        if owners and not any(re.sub(r"[-_.]+", "-", owner).lower() in wanted for owner in owners):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Plain())
sys.argv[0] = "headway"
from proxy.cli import main
main()
"""
"""`headway` that can import nothing but itself and what the plain package asks for, however much is installed."""

CONFIGURATION = """\
proxy:
  listen: {proxy}
  daemons: ["{daemons}"]
  ca: certs/ca.pem
  health: 127.0.0.1:0
daemon:
  listen: {daemon}
  cert: certs/daemon.pem
  key: certs/daemon.key
  tritons:
    a: {{url: "127.0.0.1:1", metrics: "http://127.0.0.1:1/metrics"}}
telemetry: {{metrics_listen: "127.0.0.1:0"}}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with certificates."""
    monkeypatch.setattr("sys.argv", ["headway", "certs", "--out", str(tmp_path / "certs")])
    with pytest.raises(SystemExit, match="0"):
        main()
    return tmp_path


def write(home: Path, *, proxy: str = "127.0.0.1:0", daemon: str = "127.0.0.1:0", daemons: str = "127.0.0.1:1") -> None:
    text = CONFIGURATION.format(proxy=proxy, daemon=daemon, daemons=daemons)
    (home / "headway.yaml").write_text(text, encoding="utf-8")


async def start(home: Path, *command: str) -> asyncio.subprocess.Process:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GRPC_", "HEADWAY_"))}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, *command),
        cwd=home,
        env={**kept, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ended(home: Path, *command: str) -> tuple[int | None, str, str]:
    """Exit code, standard output and standard error of a process that ends by itself."""
    process = await start(home, *command)
    try:
        async with asyncio.timeout(30):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            send_signal(process, signal.SIGKILL)
            await process.wait()
    return process.returncode, out.decode(), err.decode()


async def until_it_listens(home: Path, *command: str) -> list[str]:
    """The lines that a process logs until it listens. It is told to stop then, and must end with 0."""
    process = await start(home, *command)
    assert process.stderr is not None
    lines: list[str] = []
    try:
        async with asyncio.timeout(30):
            while not (lines and "listens on" in lines[-1]):
                line = await process.stderr.readline()
                assert line, lines
                lines.append(line.decode().rstrip())
            send_signal(process, signal.SIGTERM)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            send_signal(process, signal.SIGKILL)
            await process.wait()
    return lines


async def test_the_plain_package_names_the_extra_that_the_daemon_needs(home: Path) -> None:
    write(home)
    assert await ended(home, "-c", PLAIN, "daemon", "-c", "headway.yaml") == (
        1,
        "",
        'headway: the daemon needs more packages: pip install "headway[daemon]"\n',
    )


async def test_the_plain_package_names_the_extra_that_the_demo_needs(home: Path) -> None:
    assert await ended(home, "-c", PLAIN, "demo") == (
        1,
        "",
        'headway: the demo needs more packages: pip install "headway[demo]"\n',
    )


async def test_the_plain_package_checks_all_but_the_tritons(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as refusing:
        address = f"127.0.0.1:{refusing.getsockname()[1]}"
    write(home, daemons=address)
    code, out, err = await ended(home, "-c", PLAIN, "check", "-c", "headway.yaml")
    assert (code, err) == (1, "")
    problems = [line for line in out.splitlines() if not line.startswith("note: ")]
    assert [line.split(": ")[1] for line in problems] == ["proxy.daemons[0]", "daemon"]
    assert problems[1] == (
        'headway.yaml:6: daemon: the daemon needs more packages: pip install "headway[daemon]"; '
        "--role proxy leaves this section out"
    )


async def test_the_plain_package_runs_the_proxy(home: Path) -> None:
    write(home)
    lines = await until_it_listens(home, "-c", PLAIN, "proxy", "-c", "headway.yaml")
    assert re.search(r"INFO proxy\.compose\.run: Proxy listens on 127\.0\.0\.1:\d+$", lines[-1])


@pytest.mark.parametrize("role", ["proxy", "daemon"])
async def test_a_process_says_where_it_is_scraped(home: Path, role: str) -> None:
    write(home)
    lines = await until_it_listens(home, "-m", "proxy.cli", role, "-c", "headway.yaml")
    assert [line for line in lines if re.search(r" Metrics at http://127\.0\.0\.1:\d+/metrics$", line)]


@pytest.mark.parametrize(
    ("role", "line", "kind"),
    [
        ("proxy", "headway.yaml:2: proxy.listen", socket.SOCK_STREAM),
        ("daemon", "headway.yaml:7: daemon.listen", socket.SOCK_STREAM),
        ("daemon", "headway.yaml:7: daemon.listen", socket.SOCK_DGRAM),
    ],
)
async def test_a_port_in_use_is_one_line(home: Path, role: str, line: str, kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        address = f"127.0.0.1:{port}"
        write(home, proxy=address, daemon=address)
        code, out, err = await ended(home, "-m", "proxy.cli", role, "-c", "headway.yaml", "--log-level", "error")
    protocol = "TCP" if kind == socket.SOCK_STREAM else "UDP"
    assert (code, out) == (1, "")
    assert err == f"{line}: can't listen on {address} ({protocol}): Address already in use\n"
