"""The backend as a process of its own, for the tests that kill it."""

import asyncio
import asyncio.subprocess
import os
import pathlib
import sys
from types import TracebackType
from typing import Self

ROOT = pathlib.Path(__file__).parents[2]
START_TIMEOUT_S = 20.0


class BackendProcess:
    """`python -m tests.conformance.backend`, listening once entered; killed when left."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self.address = ""

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.conformance.backend",
            "--port",
            "0",
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(START_TIMEOUT_S):
            line = await self._process.stdout.readline()
        self.address = f"127.0.0.1:{int(line)}"
        return self

    async def kill(self) -> None:
        """Send SIGKILL and wait until the process is gone, so that no last answer is on its way."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()
