"""The largest value of a sliding window."""

from __future__ import annotations

from collections import deque


class WindowedMax:
    """The largest of the values whose time is less than `window` ago.

    `time` is any number that does not go back: seconds, rounds, cycles. Each value is looked at twice at most.
    """

    __slots__ = ("_kept", "window")

    def __init__(self, window: float) -> None:
        self.window = window
        self._kept: deque[tuple[float, float]] = deque()

    def __repr__(self) -> str:
        return f"<WindowedMax {self.value:g} of {self.window:g}>"

    @property
    def value(self) -> float:
        """The largest value as of the last update; 0 before the first."""
        return self._kept[0][1] if self._kept else 0.0

    def update(self, value: float, *, time: float) -> float:
        """Take in a value, forget those that are too old; returns the largest."""
        kept = self._kept
        while kept and kept[-1][1] <= value:
            kept.pop()
        kept.append((time, value))
        while kept[0][0] <= time - self.window:
            kept.popleft()
        return kept[0][1]

    def clear(self) -> None:
        """Forget all values."""
        self._kept.clear()
