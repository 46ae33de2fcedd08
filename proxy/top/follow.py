"""Keeps a watch on one process, and comes back to it when it was away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from proxy.clock import Clock
from proxy.control.client import ClientTls, ControlClient, ControlError
from proxy.control.targets import Target
from proxy.top.ends import End

RETRY_S = 1.0
"""From one attempt to reach a process to the next."""

ENDED = "the process ended the watch"


async def follow(
    target: Target,
    end: End,
    *,
    tls: ClientTls | None,
    interval_s: float,
    clock: Clock,
    changed: Callable[[], None],
    retry_s: float = RETRY_S,
) -> None:
    """Tell `end` what the process says every `interval_s`, and `changed` that it did. Without end."""
    while True:
        try:
            async with ControlClient(target.address, tls=tls if target.tls else None) as client:
                async for status in client.watch(interval_s=interval_s):
                    end.heard(status, at=clock.now())
                    changed()
            end.lost(ENDED)
        except ControlError as error:
            end.lost(str(error).removeprefix(f"{target.address}: "))
        changed()
        await asyncio.sleep(retry_s)


async def look_twice(target: Target, end: End, *, tls: ClientTls | None, interval_s: float, clock: Clock) -> None:
    """Tell `end` two statuses an interval apart, so that there are rates; or why there are none."""
    try:
        async with ControlClient(target.address, tls=tls if target.tls else None) as client:
            end.heard(await client.status(), at=clock.now())
            await asyncio.sleep(interval_s)
            end.heard(await client.status(), at=clock.now())
    except ControlError as error:
        end.lost(str(error).removeprefix(f"{target.address}: "))
