"""The only place that reads the clock for code outside the event loop's driver."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time. `proxy.testing.clock.ManualClock` is the other implementation."""

    def now(self) -> float:
        """Seconds on a monotonic clock: only differences mean anything."""


class MonotonicClock:
    """The process's monotonic clock, the one that asyncio's event loops use too."""

    def now(self) -> float:
        """Seconds since some instant in the past."""
        return time.monotonic()


class ThreadCpuClock:
    """CPU time of the thread that asks: stands still while other processes and threads have their turn."""

    def now(self) -> float:
        """Seconds since the thread began."""
        return time.thread_time()


def wall_ns() -> int:
    """Nanoseconds since 1970 on the wall clock, which may jump: for time stamps in traces, never for deadlines."""
    return time.time_ns()
