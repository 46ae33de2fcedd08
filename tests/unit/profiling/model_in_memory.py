"""A model in virtual time: how long it takes is a function, and its requests are numbers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from proxy.profiling.model import ModelInput, ProfilingError, Queued, Tensor
from proxy.testing.virtual_loop import VirtualTimeLoop

T = TypeVar("T")

TEXT = ModelInput("TEXT", "BYTES", (1,))


class ModelInMemory:
    """A `Server`. An answer takes `seconds(rows, payload bytes, requests under way)` after `queue_s` in the queue."""

    def __init__(
        self, seconds: Callable[[int, int, int], float], *, queue_s: float = 0.0, messages: int = 8, places: int = 1000
    ) -> None:
        self._seconds = seconds
        self._queue_s = queue_s
        self._messages = messages
        self._places = asyncio.Semaphore(places)
        self._under_way = 0
        self._queued = Queued(0, 0.0)
        self.requests: list[tuple[int, int]] = []
        """(rows, payload bytes)"""

    def request(self, tensors: Sequence[Tensor]) -> bytes:
        if not tensors:
            return b"1 0"
        rows = tensors[0].shape[0]
        return f"{rows} {len(tensors[0].content) // rows - 4}".encode()

    async def infer(self, request: bytes) -> None:
        self._under_way += 1
        try:
            await asyncio.sleep(self._queue_s + self._one(request))
        finally:
            self._under_way -= 1
        self._queued = Queued(self._queued.requests + 1, self._queued.seconds + self._queue_s)

    async def stream(self, request: bytes) -> AsyncIterator[None]:
        """The first message after twice the time of each next one."""
        async with self._places:
            self._under_way += 1
            try:
                await asyncio.sleep(self._one(request))
                for _ in range(self._messages):
                    await asyncio.sleep(self._seconds(1, 0, self._under_way))
                    yield None
            finally:
                self._under_way -= 1

    async def queued(self) -> Queued:
        return self._queued

    def _one(self, request: bytes) -> float:
        rows, size = (int(part) for part in request.split())
        self.requests.append((rows, size))
        return self._seconds(rows, size, self._under_way)


class FailingModel(ModelInMemory):
    """Answers every request with an error."""

    async def infer(self, request: bytes) -> None:
        raise ProfilingError("m at localhost:8001: out of memory")


def in_virtual_time(work: Callable[[VirtualTimeLoop], Coroutine[Any, Any, T]]) -> T:
    """What the coroutine returns."""
    loop = VirtualTimeLoop()
    try:
        return loop.run_until_complete(work(loop))
    finally:
        loop.close()
