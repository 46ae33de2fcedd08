"""What to measure of a model that answers a request once: batches, payloads, and instances side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from proxy.clock import Clock
from proxy.profiling.model import Model, ProfilingError, Queued, Server
from proxy.profiling.payload import Payload, doubling
from proxy.profiling.sweep import Setting

BLOCK = 5
"""Requests between two looks at the server's statistics."""

ASK_AGAIN = 10
"""Times that statistics are asked for until they count the last request, which Triton does after it has answered."""

TRIES = 5
"""Blocks that met others' requests, before the model counts as one that others use; or whose requests waited unevenly,
before such a block is taken."""

LEAST_S = 1e-6
"""A time that remains when the wait is taken off: above zero whatever the statistics say."""


def settings(model: Model, payload: Payload, server: Server, clock: Clock) -> list[Setting]:
    """All that is measured of the model."""
    sweep = _Requests(server, payload, clock)
    found = [Setting("batch", rows, sweep.alone("batch", rows)) for rows in doubling(max(1, model.max_rows))]
    found += [Setting("size", size, sweep.alone("size", 1, size)) for size in payload.sizes]
    # Requests that fill a batch each: smaller ones would be answered together by one instance.
    largest = max(1, model.max_rows)
    found += [Setting("callers", count, sweep.together(count, largest)) for count in doubling(model.instances)[1:]]
    return found


class _Requests:
    """Blocks of requests. Their time is from sending to answer, without the time in the server's queue.

    A request that comes alone waits there for others to join it, which policies reckon with on their own.
    """

    def __init__(self, server: Server, payload: Payload, clock: Clock) -> None:
        self._server = server
        self._payload = payload
        self._clock = clock

    def alone(self, kind: str, rows: int, size: int | None = None) -> _Block:
        """One request after another."""
        return _Block(kind, self._server, self._clock, self._server.request(self._payload.tensors(rows, size)), 1)

    def together(self, count: int, rows: int) -> _Block:
        """That many at a time."""
        request = self._server.request(self._payload.tensors(rows))
        return _Block("callers", self._server, self._clock, request, count)


class _Block:
    def __init__(self, kind: str, server: Server, clock: Clock, request: bytes, callers: int) -> None:
        self._kind = kind
        self._server = server
        self._clock = clock
        self._request = request
        self._callers = callers

    async def __call__(self) -> Mapping[str, Sequence[float]]:
        others = 0
        uneven: list[float] = []
        for _ in range(TRIES):
            before = await self._server.queued()
            samples: list[float] = []
            for _ in range(BLOCK):
                samples += await asyncio.gather(*(self._one() for _ in range(self._callers)))
            waited = await self._waited(before, len(samples))
            others = waited.requests - len(samples)
            # The statistics have sums alone: with others' requests in them, what ours waited is not known.
            if others > 0:
                continue
            waited_s = waited.seconds / max(1, waited.requests)
            if waited_s < min(samples):
                return {self._kind: [sample - waited_s for sample in samples]}
            # One waited for most of that sum, and the others' times would be nothing without its share.
            uneven = [max(LEAST_S, sample - waited_s) for sample in samples]
        if uneven:
            return {self._kind: uneven}
        raise ProfilingError(
            f"the model is used by others, too: {others} requests came beside {BLOCK * self._callers} of ours;"
            " measure it while nobody calls it"
        )

    async def _one(self) -> float:
        began_at = self._clock.now()
        await self._server.infer(self._request)
        return self._clock.now() - began_at

    async def _waited(self, before: Queued, requests: int) -> Queued:
        """What the statistics have since `before`."""
        now = await self._server.queued()
        for _ in range(ASK_AGAIN):
            if now.requests - before.requests >= requests:
                break
            now = await self._server.queued()
        return Queued(now.requests - before.requests, now.seconds - before.seconds)
