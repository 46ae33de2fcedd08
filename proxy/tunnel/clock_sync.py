"""How far the daemon's clock is ahead of the proxy's, and how long the way is, from the exchanges of the control call.

The estimate is NTP's (RFC 5905 section 8): offset = ((t2 - t1) + (t3 - t4)) / 2 and delay = (t4 - t1) - (t3 - t2). The
sample with the least delay is believed, since queueing only ever adds to it; its error is at most half of its delay.
Samples age, because clocks drift.

The round trip is smoothed as in RFC 6298 section 2, with larger weights: there they are for many samples a round trip,
here there is one a second.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

WINDOW_S = 30.0
"""How long a sample counts. Crystal oscillators drift by up to 100 ppm: 3 ms in this time."""
SMOOTHED_WEIGHT = 0.5
"""Of the newest sample in the round trip."""
DEVIATION_WEIGHT = 0.25
"""Of the newest sample in its deviation."""


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """What an exchange takes now, waits in queues included, in seconds."""

    smoothed_s: float
    deviation_s: float
    """Mean deviation."""

    def with_sample(self, sample_s: float) -> RoundTrip:
        """After one more exchange."""
        off_s = abs(sample_s - self.smoothed_s)
        return RoundTrip(
            self.smoothed_s + (sample_s - self.smoothed_s) * SMOOTHED_WEIGHT,
            self.deviation_s + (off_s - self.deviation_s) * DEVIATION_WEIGHT,
        )


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
        self._current: RoundTrip | None = None

    def __repr__(self) -> str:
        return f"<ClockSync samples={len(self._samples)} best={self.best!r}>"

    def add_sample(self, *, sent_at: float, received_at: float, answered_at: float, now: float) -> ClockOffset:
        """One exchange: `sent_at` and `now` on our clock, the two between on the peer's, in seconds.

        Returns the best estimate.
        """
        round_trip_s = max((now - sent_at) - (answered_at - received_at), 0.0)
        offset_s = ((received_at - sent_at) + (answered_at - now)) / 2
        known = self._current
        self._current = RoundTrip(round_trip_s, round_trip_s / 2) if known is None else known.with_sample(round_trip_s)
        while self._samples and self._samples[0][0] < now - WINDOW_S:
            self._samples.popleft()
        self._samples.append((now, ClockOffset(offset_s, round_trip_s)))
        self._best = best = min((sample for _, sample in self._samples), key=_round_trip)
        return best

    @property
    def best(self) -> ClockOffset | None:
        """The estimate with the least round trip; None before the first sample."""
        return self._best

    @property
    def round_trip(self) -> RoundTrip | None:
        """What an exchange takes now; None before the first sample."""
        return self._current


def _round_trip(sample: ClockOffset) -> float:
    return sample.round_trip_s
