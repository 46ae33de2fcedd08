"""What to measure of a model that streams: how long the first message takes, and each next one with others running."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from policies.profile_file import Point
from proxy.clock import Clock
from proxy.profiling.model import Model, ProfilingError, Server
from proxy.profiling.payload import Payload, doubling
from proxy.profiling.sweep import Limits, Progress, Setting, measure

FEWEST_MESSAGES = 4
"""Of an answer: fewer say nothing of the time between two."""

TRIES = 3
"""On a machine that is busy with other things, streams can miss one another by chance."""

Stream = Sequence[float]
"""Seconds from the request to each message."""


async def measure_streams(
    model: Model, payload: Payload, server: Server, limits: Limits, *, most: int, clock: Clock, progress: Progress
) -> list[Point]:
    """Points of first messages by prompt size, and of next ones and whole answers by streams at once, up to `most`.

    It stops at fewer streams where the model lets only so many run together: the points end there.
    """
    runs = _Runs(model, payload, server, clock)
    prompts = payload.sizes or (() if payload.usual is None else (payload.usual,))
    firsts = [runs.first(size) for size in prompts or (0,)]
    points = await measure(firsts, limits, clock=clock, progress=progress)
    for count in doubling(most):
        progress("next_token", count)
        together = await runs.together(count)
        if together < count:
            # Some waited until others ended. What runs together may be more than the count before.
            if together > count // 2:
                points += await measure([runs.setting(together)], limits, clock=clock, progress=progress)
            break
        points += await measure([runs.setting(count)], limits, clock=clock, progress=progress)
    return points


def at_once(streams: Sequence[Stream]) -> int:
    """How many of the streams were between their first message and their last at the same time."""
    begins = [(stream[0], 1) for stream in streams]
    # At the same instant an end counts before a beginning.
    changes = sorted([*begins, *((stream[-1], -1) for stream in streams)])
    running = most = 0
    for _, change in changes:
        running += change
        most = max(most, running)
    return most


def gaps(streams: Sequence[Stream]) -> list[float]:
    """Mean seconds between the messages of each stream, while all of them were running; empty if they never were.

    A mean over the stream, since messages that come close together on the wire are read together.
    """
    began, ended = max(stream[0] for stream in streams), min(stream[-1] for stream in streams)
    found = []
    for stream in streams:
        inside = [at for at in stream if began <= at <= ended]
        if len(inside) > 1 and inside[-1] > inside[0]:
            found.append((inside[-1] - inside[0]) / (len(inside) - 1))
    return found


class _Runs:
    def __init__(self, model: Model, payload: Payload, server: Server, clock: Clock) -> None:
        self._model = model
        self._payload = payload
        self._server = server
        self._clock = clock

    async def run(self, count: int, size: int | None = None) -> list[Stream]:
        """As many streams at once."""
        request = self._server.request(self._payload.tensors(1, size))
        began_at = self._clock.now()
        return await asyncio.gather(*(self._one(request, began_at) for _ in range(count)))

    async def together(self, count: int) -> int:
        """How many of so many streams run at the same time: the most of a few tries, unless it is all of them."""
        most = 0
        for _ in range(TRIES):
            most = max(most, at_once(await self.run(count)))
            if most == count:
                break
        return most

    def first(self, size: int) -> Setting:
        """First messages, of one stream at a time; `size` 0 for a model without a payload."""

        async def block() -> Mapping[str, Sequence[float]]:
            return {"first_token": [stream[0] for stream in await self.run(1, size or None)]}

        return Setting("first_token", size, block)

    def setting(self, count: int) -> Setting:
        """So many streams at once: the time between messages, and until the last of the answers has ended."""

        async def block() -> Mapping[str, Sequence[float]]:
            streams = await self.run(count)
            return {"next_token": gaps(streams), "batch": [max(stream[-1] for stream in streams)]}

        return Setting("batch", count, block)

    async def _one(self, request: bytes, began_at: float) -> Stream:
        messages = [self._clock.now() - began_at async for _ in self._server.stream(request)]
        if len(messages) < FEWEST_MESSAGES:
            raise ProfilingError(
                f"{self._model.name} streams, and answered with {len(messages)} messages; at least "
                f"{FEWEST_MESSAGES} are needed: ask for more with --value, such as --value MAX_TOKENS:32"
            )
        return messages
