"""A clock that a test sets.

clock = ManualClock(now=100.0)
clock.advance(0.5)
assert clock.now() == 100.5
"""

from __future__ import annotations


class ManualClock:
    """A `proxy.clock.Clock` that stands still until it is told to go on; seconds, monotonic."""

    def __init__(self, *, now: float = 0.0) -> None:
        self._now = now

    def __repr__(self) -> str:
        return f"<ManualClock {self._now:g}>"

    def now(self) -> float:
        """The time that it was set to."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass. Raises ValueError for fewer than none: a monotonic clock does not go back."""
        if not seconds >= 0:
            raise ValueError(f"{self!r} can't advance by {seconds:g} s")
        self._now += seconds
