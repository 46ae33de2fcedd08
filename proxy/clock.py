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


def wall_ns() -> int:
    """Nanoseconds since 1970 on the wall clock, which may jump: for time stamps in traces, never for deadlines."""
    return time.time_ns()
