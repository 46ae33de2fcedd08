from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from proxy.testing.virtual_loop import NothingLeftToDoError, VirtualTimeLoop


@pytest.fixture
def loop() -> Iterator[VirtualTimeLoop]:
    loop = VirtualTimeLoop()
    yield loop
    loop.close()


def test_sleepers_wake_in_order_and_at_their_time(loop: VirtualTimeLoop) -> None:
    woken: list[tuple[str, float]] = []

    async def sleep(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        woken.append((name, loop.time()))

    async def main() -> None:
        await asyncio.gather(sleep("hour", 3600), sleep("now", 0), sleep("minute", 60))

    loop.run_until_complete(main())
    assert woken == [("now", 0), ("minute", 60), ("hour", 3600)]
    assert loop.clock.now() == 3600


def test_a_timeout_passes_in_virtual_time(loop: VirtualTimeLoop) -> None:
    async def main() -> None:
        async with asyncio.timeout(86400 * 3):  # longer than the loop's longest wait of a day
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        loop.run_until_complete(main())
    assert loop.time() == 86400 * 3


def test_waiting_for_ever_is_an_error(loop: VirtualTimeLoop) -> None:
    task = loop.create_task(asyncio.Event().wait())
    with pytest.raises(NothingLeftToDoError):
        loop.run_until_complete(task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
