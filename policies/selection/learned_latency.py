"""What stands in for a forecast where nobody has measured a candidate beforehand: its answers so far."""

from __future__ import annotations

import math
from collections.abc import Hashable

from policies.selection.health import RECENT_WEIGHT

LONG_RUN_WEIGHT = 0.005
"""Of the newest answer in the long-run mean: about five hundred answers make up nine tenths of it."""


class LearnedLatency:
    """Requests under way, and how long answers take of late and in the long run. It predicts no time of finishing.

    Has the methods of `policies.selection.forecast.Forecast`. The model's queue is known only where somebody reads it
    and tells (`queued`).
    """

    __slots__ = ("_long_run_s", "_queued", "_recent_s", "_sent_at")

    def __init__(self) -> None:
        self._sent_at: dict[Hashable, float] = {}
        self._queued = 0
        self._recent_s = 0.0
        self._long_run_s = 0.0

    def __repr__(self) -> str:
        return f"<LearnedLatency {self.running} running, {self.waiting} waiting>"

    @property
    def running(self) -> int:
        """Requests sent and not ended, less those that wait."""
        return len(self._sent_at) - self.waiting

    @property
    def waiting(self) -> int:
        """Of the requests sent and not ended, as many as the model's queue was last said to hold."""
        return min(self._queued, len(self._sent_at))

    def queued(self, count: int) -> None:
        """The model's queue holds this many of the requests sent."""
        self._queued = count

    def sent(self, key: Hashable, *, prompt_tokens: int, now: float) -> None:
        """A request goes to the candidate."""
        self._sent_at[key] = now

    def began(self, key: Hashable, *, now: float) -> None:
        """Nothing: only whole answers are timed."""

    def ended(self, key: Hashable, *, answered: bool, messages: int, now: float) -> None:
        """An answer counts in both means; what failed or was given up has no latency."""
        latency_s = now - self._sent_at.pop(key)
        if not answered:
            return
        if not self._long_run_s:
            self._recent_s = self._long_run_s = latency_s
            return
        self._recent_s += (latency_s - self._recent_s) * RECENT_WEIGHT
        self._long_run_s += (latency_s - self._long_run_s) * LONG_RUN_WEIGHT

    def begun_at(self, key: Hashable, *, now: float) -> float:
        """Nothing tells."""
        return math.inf

    def slow_down(self, *, now: float) -> float:
        """The recent mean over that of the long run, at least 1."""
        return max(1.0, self._recent_s / self._long_run_s) if self._long_run_s else 1.0

    def predict(self, *, prompt_tokens: int, ahead: int, now: float) -> tuple[None, None]:
        """Neither a time of finishing nor a batch."""
        return None, None
