"""Signals to processes, with real ones: the race is the kernel's and asyncio's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys

import pytest

from proxy.children import send_signal


async def program(code: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-I", "-S", "-c", code)


async def test_a_running_process_gets_the_signal_and_one_that_is_gone_none() -> None:
    process = await program("import time; time.sleep(60)")
    send_signal(process, signal.SIGTERM)
    assert await process.wait() == -signal.SIGTERM
    send_signal(process, signal.SIGTERM)
    assert process.returncode == -signal.SIGTERM


async def test_the_exit_code_of_one_that_has_just_ended_is_its_own(caplog: pytest.LogCaptureFixture) -> None:
    """The signal is sent between the end of the process and the moment that asyncio hears of it."""
    for _ in range(20):  # `Process.kill` takes the status from asyncio's watcher in four of ten
        process = await asyncio.create_subprocess_exec("sh", "-c", "exit 7")
        with contextlib.suppress(ChildProcessError):  # the watcher was faster than this
            # Leaves the status to whoever waits; the event loop must not turn meanwhile.
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222
        send_signal(process, signal.SIGKILL)
        assert await process.wait() == 7
    assert not [record for record in caplog.records if record.name == "asyncio"]
