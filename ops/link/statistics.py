"""What has become of a link's packets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ops.link.settings import Direction


@dataclass(frozen=True, slots=True)
class DirectionStatistics:
    """One direction, since the start or since the last reset."""

    packets: int = 0
    """That entered the link."""
    bytes: int = 0
    delivered: int = 0
    """That came out, copies not counted."""
    delivered_bytes: int = 0
    lost: int = 0
    """By chance."""
    dropped: int = 0
    """For want of room in the queue."""
    too_long: int = 0
    """For the MTU."""
    reordered: int = 0
    duplicated: int = 0
    queue_bytes_max: int = 0
    """The most that ever waited for the wire."""
    queue_bytes_mean: float = 0.0
    """What packets found waiting, on average, when they reached the queue."""
    queueing_s_mean: float = 0.0
    """How long packets waited for the wire, on average."""
    queueing_s_max: float = 0.0
    lateness_s_mean: float = 0.0
    """How much later than the model says packets came out, on average: the shuttle's own error."""
    lateness_s_max: float = 0.0


@dataclass(frozen=True, slots=True)
class LinkStatistics:
    """Both directions."""

    seconds: float
    """What they cover."""
    up: DirectionStatistics
    """From near to far."""
    down: DirectionStatistics
    """From far to near."""
    rate_bits_s: float
    """What the link's rate upwards is at this moment."""

    def as_json(self) -> dict[str, Any]:
        """For results, and for another process: `LinkStatistics.from_json` reads it."""
        return asdict(self)

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> LinkStatistics:
        """What `as_json` wrote."""
        up, down = (DirectionStatistics(**values[direction]) for direction in Direction)
        return LinkStatistics(seconds=values["seconds"], up=up, down=down, rate_bits_s=values["rate_bits_s"])


@dataclass(slots=True)
class Tally:
    """What one direction counts as it goes."""

    packets: int = 0
    bytes: int = 0
    delivered: int = 0
    delivered_bytes: int = 0
    lost: int = 0
    dropped: int = 0
    too_long: int = 0
    reordered: int = 0
    duplicated: int = 0
    reached_queue: int = 0
    found_bytes: int = 0
    queue_bytes_max: int = 0
    served: int = 0
    queueing_s: float = 0.0
    queueing_s_max: float = 0.0
    lateness_s: float = 0.0
    lateness_s_max: float = 0.0

    def statistics(self) -> DirectionStatistics:
        """The record of them."""
        return DirectionStatistics(
            packets=self.packets,
            bytes=self.bytes,
            delivered=self.delivered,
            delivered_bytes=self.delivered_bytes,
            lost=self.lost,
            dropped=self.dropped,
            too_long=self.too_long,
            reordered=self.reordered,
            duplicated=self.duplicated,
            queue_bytes_max=self.queue_bytes_max,
            queue_bytes_mean=self.found_bytes / max(self.reached_queue, 1),
            queueing_s_mean=self.queueing_s / max(self.served, 1),
            queueing_s_max=self.queueing_s_max,
            lateness_s_mean=self.lateness_s / max(self.delivered, 1),
            lateness_s_max=self.lateness_s_max,
        )
