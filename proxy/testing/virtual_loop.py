"""An event loop in virtual time: whoever sleeps on it wakes at once, and the clock says that the time has passed.

    loop = VirtualTimeLoop()
    loop.run_until_complete(asyncio.sleep(3600))
    assert loop.clock.now() == 3600

With pytest-asyncio, a `conftest.py` beside the tests:

    def pytest_asyncio_loop_factories(config, item):
        return {"virtual": VirtualTimeLoop}

For code that reads time from the loop's `clock` and does its I/O through ports in memory (`proxy.testing.memory_port`).
Threads and sockets have no virtual time: the loop does not wait for them.
"""

from __future__ import annotations

import asyncio
import selectors

from proxy.testing.clock import ManualClock


class NothingLeftToDoError(Exception):
    """Every task waits for something, and no timer is set that could bring it about."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop whose `clock` jumps to the next timer as soon as nothing else is left to do."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        super().__init__(_JumpingSelector(self.clock))
        # asyncio's own nanosecond is less than what a float of a year in seconds can tell apart.
        self._clock_resolution = 1e-7

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self.clock.now()


class _JumpingSelector(selectors.SelectSelector):
    """Lets the clock pass where another selector would wait."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise NothingLeftToDoError("every task waits for something that no timer and no other task will bring")
        self._clock.advance(max(timeout, 0.0))
        return ready
