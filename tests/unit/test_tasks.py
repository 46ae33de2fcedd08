from __future__ import annotations

import asyncio
import gc
import logging
import weakref

import pytest

from proxy.tasks import spawn


async def test_the_result_comes_back_under_a_name() -> None:
    async def work() -> int:
        return 42

    task = spawn(work(), name="work")
    assert task.get_name() == "work"
    assert await task == 42


async def test_a_failure_is_logged_with_the_task_s_name(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        raise LookupError("lost")

    task = spawn(work(), name="search")
    await asyncio.wait({task})
    await asyncio.sleep(0)
    [record] = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.ERROR, "Task search failed")
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], LookupError)


async def test_being_cancelled_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    task = spawn(asyncio.Event().wait(), name="waiting")
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    await asyncio.sleep(0)
    assert task.cancelled()
    assert caplog.records == []


async def test_a_task_that_nobody_holds_is_kept() -> None:
    """The event loop has weak references only, so a task that waits for what only it knows of would be collected."""
    waiting: list[weakref.ref[asyncio.Future[None]]] = []
    done = asyncio.Event()

    async def work() -> None:
        future = asyncio.get_running_loop().create_future()
        waiting.append(weakref.ref(future))
        await future
        done.set()

    spawn(work(), name="forgotten")
    await asyncio.sleep(0)
    gc.collect()
    future = waiting[0]()
    assert future is not None
    future.set_result(None)
    await asyncio.wait_for(done.wait(), 1)
