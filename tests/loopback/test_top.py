"""`headway top` as a process in a window of its own, on a real proxy and a real daemon."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from proxy.children import send_signal
from proxy.testing.ports import free_port
from proxy.testing.stack import ProcessStack
from proxy.top.terminal import ENTER, LEAVE
from tests.conformance.backend import Backend
from tests.conformance.client import Client
from tests.conformance.pb import conformance_pb2 as pb
from tests.unit.top.windows import Window

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
ECHO = pb.CallRequest(payload=b"content", echo=True)


async def start_top(window: Window, *arguments: str, term: str = "xterm-256color") -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy.cli", "top", *arguments),
        cwd=ROOT,
        env={**os.environ, "TERM": term},
        stdin=window.inside,
        stdout=window.inside,
        stderr=window.inside,
    )


async def test_both_ends_are_shown_and_one_that_goes_and_comes_back() -> None:
    at = {role: f"127.0.0.1:{free_port()}" for role in ("proxy", "daemon")}
    proxy, daemon = ({"control_listen": address} for address in at.values())
    with Window(columns=160, lines=30) as window:
        async with (
            Backend() as backend,
            ProcessStack(backend.address, proxy=proxy, daemon=daemon) as stack,
            Client(stack.address) as client,
        ):
            before = window.settings
            top = await start_top(window, "-c", str(stack.files.path / "proxy.yaml"), "--interval", "100ms")
            await window.until(f"daemon at {at['daemon']}")
            for _ in range(23):
                assert (await client.unary(ECHO, metadata=(("x-traffic-class", "realtime"),))).payload == b"content"
            await window.until(" 23 ")  # in all, of its class
            await stack.kill_daemon()
            await window.until("not reachable: ")
            await stack.start_daemon()
            await window.until("downlink edf")
            window.type("q")
            async with asyncio.timeout(60):
                assert await top.wait() == 0
            window.look()
            assert window.seen.startswith(ENTER.decode())
            assert window.seen.endswith(LEAVE.decode())
            assert window.settings == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_with_the_window_as_it_was(number: signal.Signals) -> None:
    with Window() as window:
        before = window.settings
        top = await start_top(window, "--at", f"127.0.0.1:{free_port()}")
        await window.until("not reachable: ")
        send_signal(top, number)
        async with asyncio.timeout(20):
            assert await top.wait() == 0
        window.look()
        assert window.seen.endswith(LEAVE.decode())
        assert window.settings == before


async def test_on_a_dumb_terminal_it_is_one_page() -> None:
    with Window() as window:
        top = await start_top(window, "--at", f"127.0.0.1:{free_port()}", "--interval", "100ms", term="dumb")
        await window.until("not reachable: ")
        async with asyncio.timeout(20):
            assert await top.wait() == 1
        window.look()
        assert "\x1b" not in window.seen
