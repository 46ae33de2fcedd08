"""What schedulers hear of the path, made of what the connection measures."""

from __future__ import annotations

import math

from policies.scheduling.base import PathEstimate

FRAME_BYTES = 32
"""What a packet of stream data holds besides, with our 8-byte connection IDs: 11 bytes of header, 16 of AEAD tag (RFC
9001 section 5.3), and 5 of a STREAM frame's type, number, offset and length, of which large numbers take up to 14 more.
IP and UDP headers are not in the delivery rate either, which counts QUIC packets."""
NOTICEABLE = 1 / 32
"""Smaller changes are not told. A sample that is half as long again as the smoothed round trip moves it by twice this
(RFC 9002 section 5.3)."""


class PathReports:
    """Turns measurements into estimates, and keeps back those that would say nothing new.

    An answer has arrived half a round trip after its last byte left. A request has then only reached the callee: the
    answer's way back comes on top.
    """

    def __init__(self, *, is_client: bool) -> None:
        self._ways = 1.0 if is_client else 0.5
        self._rate_bytes_s = self._rtt_s = math.nan  # of the last report; unlike anything before the first

    def __repr__(self) -> str:
        return f"<PathReports rate_bytes_s={self._rate_bytes_s:g} rtt_s={self._rtt_s:g}>"

    def report(self, *, rate_bytes_s: float, rtt_s: float, datagram_bytes: int) -> PathEstimate | None:
        """The path as schedulers see it, or None if that has hardly changed.

        `rate_bytes_s` counts QUIC packets of up to `datagram_bytes`.
        """
        if not (_differs(self._rate_bytes_s, rate_bytes_s) or _differs(self._rtt_s, rtt_s)):
            return None
        self._rate_bytes_s, self._rtt_s = rate_bytes_s, rtt_s
        payload = max(1 - FRAME_BYTES / datagram_bytes, 0.0)
        return PathEstimate(rate_bytes_s=rate_bytes_s * payload, rtt_s=rtt_s, delivery_s=rtt_s * self._ways)

    def forget(self) -> None:
        """Somebody new listens: the next report is made in any case."""
        self._rate_bytes_s = self._rtt_s = math.nan


def _differs(old: float, new: float) -> bool:
    return old != new and not abs(new - old) <= NOTICEABLE * min(old, new)  # no number differs from every number
