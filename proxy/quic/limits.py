"""How much a peer may send before it hears from us, and what a connection tells of its path."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FlowLimits:
    """Credit that we give the peer (RFC 9000 section 4)."""

    stream_window_bytes: int = 1024 * 1024
    """Per stream: what may have arrived and not been consumed."""
    connection_window_bytes: int = 64 * 1024 * 1024
    """All streams together: what may be on the way."""
    max_streams: int = 16384
    """Calls that the peer may have open at once."""


@dataclass(frozen=True, slots=True)
class PathStatistics:
    """What the connection knows of its path, for load reports, metrics and `repr`."""

    rtt_s: float
    min_rtt_s: float
    congestion_window_bytes: int
    bytes_in_flight: int
    datagram_bytes: int
