"""How much a peer may send before it hears from us, and what a connection tells of its path."""

from __future__ import annotations

import math
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
    delivery_rate_bytes_s: float = math.inf
    """What the path delivers, of QUIC packets; infinite as long as nothing has shown its limit."""
    pacing_rate_bytes_s: float = math.inf
    congestion_control: str = ""
    congestion_state: str = ""
    """What the congestion controller is about, in a word."""
    sent_packets: int = 0
    sent_bytes: int = 0
    delivered_bytes: int = 0
    """Acknowledged, of packets that count as in flight."""
    lost_packets: int = 0
    lost_bytes: int = 0
    """Declared lost, less those that arrived after all."""
    late_packets: int = 0
    """Declared lost, and arrived."""
    rtt_deviation_s: float = 0.0
    """Mean deviation of the round trip: rttvar of RFC 9002 section 5.3."""


@dataclass(frozen=True, slots=True)
class ServedTunnel:
    """A proxy that is connected, as the daemon sees it."""

    peer: str
    """The proxy's address."""
    calls: int
    """Calls under way."""
    path: PathStatistics
