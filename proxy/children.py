"""Signals to processes that asyncio watches."""

from __future__ import annotations

import asyncio.subprocess
import contextlib
import os


def send_signal(process: asyncio.subprocess.Process, number: int) -> None:
    """Send a signal to a process that has not been waited for; to one that is gone, nothing.

    asyncio's own `send_signal`, `terminate` and `kill` ask the kernel first whether the process has ended: they call
    `Popen.poll`, since Python 3.9. If it has, and asyncio's watcher has not looked yet, that takes the exit status away
    from the watcher, which then reports 255 and "Unknown child process pid".
    """
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
