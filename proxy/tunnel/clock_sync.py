"""How far the daemon's clock is ahead of the proxy's, from the exchanges of the control call.

The estimate is NTP's (RFC 5905 section 8): offset = ((t2 - t1) + (t3 - t4)) / 2 and delay = (t4 - t1) - (t3 - t2). The
sample with the least delay is believed, since queueing only ever adds to it; its error is at most half of its delay.
Samples age, because clocks drift.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

WINDOW_S = 30.0
"""How long a sample counts. Crystal oscillators drift by up to 100 ppm: 3 ms in this time."""


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """Daemon's clock minus proxy's clock, and the round trip that it was measured with, both in seconds."""

    offset_s: float
    round_trip_s: float


class ClockSync:
    """Keeps the recent samples of one connection."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, ClockOffset]] = deque()
        self._best: ClockOffset | None = None

    def __repr__(self) -> str:
        return f"<ClockSync samples={len(self._samples)} best={self.best!r}>"

    def add_sample(self, *, sent_at: float, received_at: float, answered_at: float, now: float) -> ClockOffset:
        """One exchange: `sent_at` and `now` on our clock, the two between on the peer's, in seconds.

        Returns the best estimate.
        """
        round_trip_s = max((now - sent_at) - (answered_at - received_at), 0.0)
        offset_s = ((received_at - sent_at) + (answered_at - now)) / 2
        while self._samples and self._samples[0][0] < now - WINDOW_S:
            self._samples.popleft()
        self._samples.append((now, ClockOffset(offset_s, round_trip_s)))
        self._best = best = min((sample for _, sample in self._samples), key=_round_trip)
        return best

    @property
    def best(self) -> ClockOffset | None:
        """The estimate with the least round trip; None before the first sample."""
        return self._best


def _round_trip(sample: ClockOffset) -> float:
    return sample.round_trip_s
