from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from proxy.clock import MonotonicClock
from proxy.control.server import ControlServer, ControlServerSettings
from proxy.control.service import ControlService
from proxy.control.targets import Target
from proxy.tasks import spawn
from proxy.testing.ports import free_port
from proxy.top.ends import End
from proxy.top.follow import follow, look_twice
from tests.unit.control.controlled import FakeProcess

CLOCK = MonotonicClock()


@asynccontextmanager
async def serving(address: str = "127.0.0.1:0") -> AsyncIterator[Target]:
    server = ControlServer(ControlServerSettings(address), service=ControlService(FakeProcess()))
    await server.start()
    try:
        yield Target(f"127.0.0.1:{server.port}", tls=False)
    finally:
        await server.stop()


async def until(end: End, what: Callable[[End], bool], changed: asyncio.Event) -> None:
    """Wait for the end to be like that, woken by its changes alone."""
    async with asyncio.timeout(20):
        while not what(end):
            await changed.wait()
            changed.clear()


async def test_a_process_is_followed_through_its_absence() -> None:
    address = f"127.0.0.1:{free_port()}"
    end, changed = End(address), asyncio.Event()
    target = Target(address, tls=False)
    following = spawn(
        follow(target, end, tls=None, interval_s=0.1, clock=CLOCK, changed=changed.set, retry_s=0.01), name="follow"
    )
    try:
        await until(end, lambda end: "Connection refused" in end.error, changed)
        for _ in range(2):
            async with serving(address):
                await until(end, lambda end: end.status is not None, changed)
                assert end.status is not None
                assert (end.status.version, end.error) == ("1.2.3", "")
            await until(end, lambda end: end.status is None, changed)
            assert end.error
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_two_looks_make_rates() -> None:
    async with serving() as target:
        end = End(str(target))
        await look_twice(target, end, tls=None, interval_s=0.01, clock=CLOCK)
    assert end.status is not None
    assert end.error == ""
    assert end.heard_at is not None


async def test_a_look_at_nobody() -> None:
    end = End("x")
    target = Target(f"127.0.0.1:{free_port()}", tls=False)
    await look_twice(target, end, tls=None, interval_s=0.01, clock=CLOCK)
    assert "Connection refused" in end.error
    assert target.address not in end.error
