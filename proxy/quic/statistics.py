"""What a connection tells of itself, for metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from proxy.quic.limits import PathStatistics


@dataclass(frozen=True, slots=True)
class ConnectionStatistics:
    """What waits on a connection, for whom, and on what path."""

    streams: int
    """Streams of any kind that are not over."""
    streams_ready: int
    """Those with something to send that may be sent."""
    pending_bytes: int
    """To be sent on all streams, lost bytes that must be sent again and those without credit included."""
    scheduler: str
    scheduler_data: Mapping[str, str | int | float]
    """The discipline's own numbers."""
    path: PathStatistics
