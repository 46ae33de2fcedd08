"""The proxy's metrics, read while a cell runs: in which mode its scheduler is, and what waits to be sent."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from proxy.telemetry import metric_names

EVERY_S = 0.2
TIMEOUT_S = 2.0

_MODE = re.compile(rf'^{metric_names.SCHEDULER_MODE.name}{{[^}}]*mode="([^"]*)"[^}}]*}} 1', re.MULTILINE)
_QUEUE = re.compile(rf"^{metric_names.QUEUE_BYTES.name}{{[^}}]*}} (\S+)", re.MULTILINE)


def sample_of(page: str) -> dict[str, Any]:
    """The mode, and the bytes that wait; None for what the page has not."""
    mode, queue = _MODE.search(page), _QUEUE.search(page)
    return {
        "mode": None if mode is None else mode[1],
        "queue_bytes": None if queue is None else float(queue[1]),
    }


class Sampler:
    """Reads a page every `EVERY_S` until its block ends; without a URL nothing."""

    def __init__(self, url: str | None, *, began_at: float) -> None:
        self._url = url
        self._began_at = began_at
        self._task: asyncio.Task[None] | None = None
        self.samples: list[dict[str, Any]] = []
        """Each with `at`, seconds from `began_at`."""

    async def __aenter__(self) -> Self:
        if self._url is not None:
            self._task = asyncio.get_running_loop().create_task(self._sample(self._url), name="samples")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _sample(self, url: str) -> None:
        while True:
            with contextlib.suppress(OSError, TimeoutError):
                page = await read_page(url)
                self.samples.append({"at": round(time.monotonic() - self._began_at, 3), **sample_of(page)})
            await asyncio.sleep(EVERY_S)


async def read_page(url: str) -> str:
    """The body of a page. Raises OSError, and TimeoutError after `TIMEOUT_S`."""
    parts = urlsplit(url)
    async with asyncio.timeout(TIMEOUT_S):
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            writer.write(f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
            answer = await reader.read()
        finally:
            writer.close()
    return answer.partition(b"\r\n\r\n")[2].decode(errors="replace")
