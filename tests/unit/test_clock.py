from __future__ import annotations

import asyncio

from proxy.clock import MonotonicClock, ThreadCpuClock, wall_ns

YEAR_2020_NS = 1_577_836_800 * 10**9


async def test_the_process_s_clock_is_the_event_loop_s() -> None:
    loop = asyncio.get_running_loop()
    before = loop.time()
    now = MonotonicClock().now()
    assert before <= now <= loop.time()


def test_wall_time_counts_from_1970() -> None:
    assert wall_ns() > YEAR_2020_NS


def test_cpu_time_goes_on_while_the_thread_works() -> None:
    clock = ThreadCpuClock()
    before = clock.now()
    assert sum(range(10_000)) == 49_995_000
    assert before < clock.now()
