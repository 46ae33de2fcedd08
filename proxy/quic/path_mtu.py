"""How large packets may be on a path: a search that starts at QUIC's minimum and tries a few larger sizes.

The scheme is DPLPMTUD's (RFC 8899) as QUIC uses it (RFC 9000 section 14.3), over a short list of sizes that links
really have, instead of a bisection: three probes, and a path is settled within as many round trips. Pure: whoever owns
the connection sends the probes.
"""

from __future__ import annotations

PROBE_SIZES = (1452, 8952, 16000)
"""UDP payloads to try, in order: Ethernet over IPv6 (1500 - 40 - 8), jumbo frames over IPv6 (9000 - 48), and, for
loopback, what the 14-bit length field that aioquic writes leaves room for."""
PROBE_ATTEMPTS = 3
"""How often a size is tried before the path is said not to carry it (RFC 8899 section 5.1.2, MAX_PROBES)."""
BLACK_HOLE_TIMEOUTS = 3
"""Probe timeouts in a row after which the packet size falls back to the base (RFC 8899 section 4.3)."""


class PathMtuSearch:
    """Which size to use, and which to try next. With `enabled` false the base is used and nothing is tried."""

    def __init__(self, base_bytes: int, *, enabled: bool = True) -> None:
        self._base_bytes = base_bytes
        self._size_bytes = base_bytes
        self._sizes = [size for size in PROBE_SIZES if size > base_bytes] if enabled else []
        self._left = list(self._sizes)
        self._attempts = 0
        self._in_flight = False

    def __repr__(self) -> str:
        return f"<PathMtuSearch {self._size_bytes} left={self._left}>"

    @property
    def size_bytes(self) -> int:
        """The largest size that is known to pass."""
        return self._size_bytes

    @property
    def may_probe(self) -> bool:
        """True if `next_probe` would name a size."""
        return bool(self._left) and not self._in_flight

    def limit(self, max_bytes: int) -> None:
        """The peer takes no larger datagrams (RFC 9000 section 18.2, max_udp_payload_size)."""
        self._sizes = [size for size in self._sizes if size <= max_bytes]
        self._left = [size for size in self._left if size <= max_bytes]

    def next_probe(self) -> int | None:
        """The size to probe now, None while a probe is on its way or the search is over. The probe counts as sent."""
        if self._in_flight or not self._left:
            return None
        self._in_flight = True
        return self._left[0]

    def acknowledged(self, size_bytes: int) -> bool:
        """A probe arrived. True if `size_bytes` is to be used from now on."""
        self._in_flight = False
        if self._left[:1] != [size_bytes]:
            return False
        self._left.pop(0)
        self._attempts = 0
        self._size_bytes = size_bytes
        return True

    def lost(self, size_bytes: int) -> None:
        """A probe did not arrive: too large, or lost as any packet may be."""
        self._in_flight = False
        if self._left[:1] != [size_bytes]:
            return
        self._attempts += 1
        if self._attempts >= PROBE_ATTEMPTS:
            self._left.clear()

    def timed_out(self, times_in_a_row: int) -> bool:
        """Nothing was heard for `times_in_a_row` probe timeouts. True if the base size is to be used from now on.

        The search starts again: a peer that stood still for a moment looks the same as a path that shrank.
        """
        if times_in_a_row < BLACK_HOLE_TIMEOUTS or self._size_bytes == self._base_bytes:
            return False
        self._size_bytes = self._base_bytes
        self._left = list(self._sizes)
        self._attempts = 0
        return True
