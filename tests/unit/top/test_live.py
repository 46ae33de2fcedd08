"""The live view in a window of its own, on a process that does what it is told."""

from __future__ import annotations

import asyncio
import io
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from rich.console import Console
from rich.text import Text

from proxy.clock import MonotonicClock
from proxy.control.server import ControlServer, ControlServerSettings
from proxy.control.service import ControlService
from proxy.control.targets import Target
from proxy.tasks import spawn
from proxy.testing.ports import free_port
from proxy.top.live import Watching, live, painter, snapshot
from proxy.top.terminal import ENTER, LEAVE
from tests.unit.control.controlled import FakeProcess
from tests.unit.top.windows import Window

PAINT = painter(Console(force_terminal=True, color_system="standard"))


def watching(*targets: Target) -> Watching:
    return Watching(targets, None, 0.1, MonotonicClock())


@asynccontextmanager
async def process() -> AsyncIterator[Target]:
    server = ControlServer(ControlServerSettings("127.0.0.1:0"), service=ControlService(FakeProcess()))
    await server.start()
    try:
        yield Target(f"127.0.0.1:{server.port}", tls=False, role="daemon")
    finally:
        await server.stop()


@asynccontextmanager
async def shown(window: Window, *targets: Target) -> AsyncIterator[asyncio.Task[int]]:
    before = window.settings
    task = spawn(live(watching(*targets), input_fd=window.inside, output_fd=window.inside, paint=PAINT), name="live")
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert window.settings == before
        window.look()
        assert window.seen.startswith(ENTER.decode())
        assert window.seen.endswith(LEAVE.decode())


async def ended(task: asyncio.Task[int]) -> int:
    async with asyncio.timeout(20):
        return await task


@pytest.mark.parametrize("key", ["q", "Q", "xq"])
async def test_a_process_is_shown_until_q(key: str) -> None:
    with Window(columns=100) as window:
        async with process() as target, shown(window, target) as task:
            page = await window.until("route ")
            assert f"daemon at {target.address}" in page
            assert "3 under way" in page
            window.type(key)
            assert await ended(task) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_signals_end_it(number: signal.Signals) -> None:
    with Window() as window:
        async with shown(window, Target(f"127.0.0.1:{free_port()}", tls=False)) as task:
            await window.until("not reachable")
            os.kill(os.getpid(), number)
            assert await ended(task) == 0


async def test_the_page_follows_the_window_s_size() -> None:
    with Window(columns=100, lines=24) as window:
        async with process() as target, shown(window, target) as task:
            await window.until("q quits")
            window.resize(30, 6)
            os.kill(os.getpid(), signal.SIGWINCH)
            page = await window.until("calls/s, the first …")
            assert page.split("\x1b[H")[-1].count("\n") == 5
            assert not task.done()


async def test_an_exception_ends_it_with_the_window_as_it_was() -> None:
    def broken(_: Text) -> str:
        raise ZeroDivisionError

    with Window() as window:
        before = window.settings
        with pytest.raises(ZeroDivisionError):
            await live(watching(), input_fd=window.inside, output_fd=window.inside, paint=broken)
        assert window.look() == (ENTER + LEAVE).decode()
        assert window.settings == before


def console() -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=100), out


async def test_one_page_is_plain_text() -> None:
    to, out = console()
    async with process() as target:
        assert await snapshot(watching(target), to) == 0
    lines = out.getvalue().splitlines()
    assert lines[0].startswith(f"daemon at {target.address}  serving  3 under way")
    assert lines[1] == "route llm by round_robin"
    assert "\x1b" not in out.getvalue()


async def test_one_page_of_nobody_is_exit_code_1() -> None:
    to, out = console()
    async with process() as target:
        nobody = Target(f"127.0.0.1:{free_port()}", tls=False, role="proxy")
        assert await snapshot(watching(nobody, target), to) == 1
    assert f"proxy at {nobody.address}  not reachable: " in out.getvalue()
    assert f"daemon at {target.address}  serving" in out.getvalue()


def test_colours_are_those_of_the_console() -> None:
    line = Text.assemble("a ", ("b", "red"))
    assert PAINT(line) == "a \x1b[31mb\x1b[0m"
    assert "31" not in painter(Console(no_color=True, force_terminal=True))(line)
