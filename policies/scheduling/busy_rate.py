"""What a link takes while there is always something for it, measured by who sends.

A check on the path's estimate, which can be wrong by a fifth, by more after a change, and by any factor where the link
had less to carry than it could. What a window lets through at once distorts a short measurement upwards; so one counts
as settled after half a window without a break, and then speaks for the last one to two windows.
"""

from __future__ import annotations

WINDOW_S = 1.0
"""Forty packets of 1200 bytes on 400 kbit/s: a packet more or less is 2.5 %."""
WINDOW_RTTS = 8
"""Of round trips at least: BBR probes the rate up and down in cycles of eight (draft-cardwell-iccrg-bbr-congestion-
control-00, section 4.3.4)."""


class BusyRate:
    """Counts what was sent since the link became busy."""

    def __init__(self) -> None:
        self._began_at: float | None = None
        self._turned_at = 0.0  # since when `_bytes` counts; what was sent before, from `_began_at` on, is `_earlier`
        self._earlier_bytes = 0
        self._bytes = 0

    def begin(self, now: float) -> None:
        """Something is there to be sent. While the link is busy already, that is nothing new."""
        if self._began_at is None:
            self._began_at = self._turned_at = now
            self._earlier_bytes = self._bytes = 0

    def end(self) -> None:
        """Nothing is left to be sent."""
        self._began_at = None

    def sent(self, sent_bytes: int) -> None:
        """A packet has left."""
        self._bytes += sent_bytes

    def measure(self, now: float, *, rtt_s: float) -> tuple[float, bool]:
        """Bytes a second, 0 before a round trip is over; and whether that is settled."""
        if self._began_at is None:
            return 0.0, False
        window_s = max(WINDOW_S, WINDOW_RTTS * rtt_s)
        if now - self._turned_at >= window_s:
            self._began_at, self._turned_at = self._turned_at, now
            self._earlier_bytes, self._bytes = self._bytes, 0
        busy_s = now - self._began_at
        if busy_s <= rtt_s:
            return 0.0, False
        return (self._earlier_bytes + self._bytes) / busy_s, busy_s >= window_s / 2
