"""How late a packet may come before it counts as lost (RFC 9002 sections 6.1.1 and 6.1.2).

It starts with RFC 9002's thresholds of three packets and 9/8 of a round trip. When a packet is acknowledged that had
been declared lost, the threshold that it fell under is raised: the one in packets to what was seen, the one in time by
an eighth of a round trip. After sixteen losses in a row that were real, the thresholds are back where they started
(RACK forgets its window after as many recoveries, RFC 8985 section 7.1).
"""

from __future__ import annotations

PACKET_THRESHOLD = 3
MAX_PACKET_THRESHOLD = 300
"""Linux's limit for reordering in TCP (net.ipv4.tcp_max_reordering)."""
TIME_THRESHOLD = 9 / 8
TIME_STEP = 1 / 8
MAX_TIME_THRESHOLD = 2.0
"""RACK's window is a round trip at most on top of the round trip (RFC 8985 section 6.2)."""
REAL_LOSSES = 16
REMEMBERED_PACKETS = 256
"""Of the packets declared lost so many are kept in mind."""


class Reordering:
    """The thresholds, and the packets that fell under them lately."""

    def __init__(self) -> None:
        self.packet_threshold = PACKET_THRESHOLD
        self.time_threshold = TIME_THRESHOLD
        self.spurious_packets = 0
        """Packets declared lost that arrived."""
        self._lost: dict[int, tuple[float, int, bool, int]] = {}
        self._real_losses = 0

    def __repr__(self) -> str:
        return f"<Reordering packets={self.packet_threshold} time={self.time_threshold:g} lost={len(self._lost)}>"

    def lost(self, number: int, *, largest_acked: int, by_packets: bool, size: int, now: float) -> None:
        """A packet is declared lost, by the threshold in packets or by the one in time."""
        self._lost[number] = (now, largest_acked, by_packets, size)
        if len(self._lost) > REMEMBERED_PACKETS:
            self._forget(next(iter(self._lost)))

    def outstanding(self) -> list[int]:
        """The packets declared lost that may still be acknowledged."""
        return list(self._lost)

    def forget_before(self, at: float) -> None:
        """Packets declared lost before `at` were lost indeed."""
        while self._lost:
            oldest, (lost_at, *_) = next(iter(self._lost.items()))
            if lost_at >= at:
                return
            self._forget(oldest)

    def arrived(self, number: int) -> int:
        """A packet declared lost is acknowledged; returns its size in bytes."""
        _, largest_acked, by_packets, size = self._lost.pop(number)
        self.spurious_packets += 1
        self._real_losses = 0
        if by_packets:
            seen = largest_acked - number + 1
            self.packet_threshold = min(max(self.packet_threshold, seen), MAX_PACKET_THRESHOLD)
        else:
            self.time_threshold = min(self.time_threshold + TIME_STEP, MAX_TIME_THRESHOLD)
        return size

    def _forget(self, number: int) -> None:
        del self._lost[number]
        self._real_losses += 1
        if self._real_losses >= REAL_LOSSES:
            self._real_losses = 0
            self.packet_threshold, self.time_threshold = PACKET_THRESHOLD, TIME_THRESHOLD
