"""The gaps between packets: a bucket of bytes that fills at the pacing rate (RFC 9002 section 7.7).

It has the methods of aioquic's pacer, which counts every packet as a full one and knows only the rate that follows from
the window. Here packets count by their bytes, acknowledgements alone count nothing, and the rate may be a model's.
"""

from __future__ import annotations

WINDOW_GAIN = 1.25
"""Without a model: how much faster than a window a round trip, so that pacing does not keep the window from being
used (RFC 9002 section 7.7)."""
MIN_RTT_S = 1e-6
QUANTUM_S = 0.001
"""What is sent at once is what the rate allows in this time (draft-ietf-ccwg-bbr-05 section 5.6.3). It is the
granularity of event loops' timers as well."""
MIN_QUANTUM_DATAGRAMS = 2
MAX_QUANTUM_BYTES = 64 * 1024
"""Draft-ietf-ccwg-bbr-05 section 5.6.3."""
BURST_DATAGRAMS = 10
"""What may leave at once after a pause: the initial window (RFC 9002 section 7.7). A short call never waits."""
LATE_QUANTA = 4
"""Wakeups of an event loop come late; the rate holds as long as they are at most three quanta late."""


class Pacer:
    """Says when the next packet may leave. `rate_bytes_s` None: at once."""

    def __init__(self, *, datagram_bytes: int) -> None:
        self.datagram_bytes = datagram_bytes
        self.rate_bytes_s: float | None = None
        self.quantum_bytes = MIN_QUANTUM_DATAGRAMS * datagram_bytes
        self.follows_window = True
        """False: `update_rate` has no effect, the rate is set by `set_rate`."""
        self._credit = float(BURST_DATAGRAMS * datagram_bytes)
        self._filled_at = 0.0
        self._advances = 0

    def __repr__(self) -> str:
        rate = "unpaced" if self.rate_bytes_s is None else f"{self.rate_bytes_s:.0f} B/s"
        return f"<Pacer {rate} quantum={self.quantum_bytes} credit={self._credit:.0f}>"

    def set_rate(self, rate_bytes_s: float, *, now: float) -> None:
        """Pace at this rate from now on."""
        self._fill(now)
        self.rate_bytes_s = rate_bytes_s
        quantum = min(int(rate_bytes_s * QUANTUM_S), MAX_QUANTUM_BYTES)
        self.quantum_bytes = max(quantum, MIN_QUANTUM_DATAGRAMS * self.datagram_bytes)

    def settle(self, sent_bytes: int) -> None:
        """A packet has left, of so many bytes that count as in flight: charge what it was, not a full one."""
        if self._advances:
            self._advances -= 1
            self._credit += self.datagram_bytes
        self._credit -= sent_bytes

    # What aioquic and the connection call

    def next_send_time(self, now: float) -> float | None:
        """When the next packet may leave; None: now."""
        rate = self.rate_bytes_s
        if rate is None:
            return None
        self._fill(now)
        if self._credit > 0:
            return None
        return now + (self.quantum_bytes - self._credit) / rate

    def update_after_send(self, now: float) -> None:
        """A packet was built; until it is settled it counts as a full one."""
        if self.rate_bytes_s is not None:
            self._fill(now)
        self._advances += 1
        self._credit -= self.datagram_bytes

    def update_rate(self, congestion_window: int, smoothed_rtt: float) -> None:
        """The window or the round trip has changed. Aioquic gives no time: the bucket fills at the next question."""
        if self.follows_window:
            rate = WINDOW_GAIN * congestion_window / max(smoothed_rtt, MIN_RTT_S)
            self.set_rate(rate, now=self._filled_at)

    def _fill(self, now: float) -> None:
        if now <= self._filled_at:
            return
        depth = max(BURST_DATAGRAMS * self.datagram_bytes, LATE_QUANTA * self.quantum_bytes)
        gained = (now - self._filled_at) * self.rate_bytes_s if self.rate_bytes_s is not None else depth
        self._credit = min(self._credit + gained, depth)
        self._filled_at = now
