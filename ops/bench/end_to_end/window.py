"""What a loss-based congestion controller gets of a link, round trip by round trip."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from ops.link import LinkSettings


@dataclass(frozen=True, slots=True)
class Rules:
    """How a window, in packets, grows and shrinks."""

    kept: float
    """Of the window after a loss."""
    growth: float
    """Packets for each round trip without one."""


RULES = {
    "reno": Rules(0.5, 1.0),
    "cubic": Rules(0.7, 3 * (1 - 0.7) / (1 + 0.7)),
}
"""Additive increase, multiplicative decrease: RFC 5681, section 3.1, and for cubic its Reno-friendly region (RFC 9438,
section 4.3), in which it is at windows this small."""

INITIAL_PACKETS = 10
"""RFC 9002, section 7.2, and RFC 6928."""
MINIMUM_PACKETS = 2
"""RFC 9002, section 7.2."""
SEGMENT_BYTES = 1400
RTT_RISE = 1 / 8
"""By which the round trip has grown when slow start ends without a loss (RFC 9406)."""


class Window:
    """The rate of a sender that always has something to send, in bytes a second at a time: call it with seconds.

    Losses are drawn from `luck` for the packets of each round trip. After one the window shrinks, and for a round trip
    stays. Where it is more than the link holds, the link's queue makes round trips longer, and overflows.
    `link` gives what the link is like at a time; `relay_s` is what the ends add to a round trip. What an idle sender
    would do is left out: it neither grows nor loses anything, so that what it finds when it goes on is drawn as well.
    """

    def __init__(
        self, rules: Rules, link: Callable[[float], LinkSettings], luck: Random, *, share: float, relay_s: float
    ) -> None:
        self._rules = rules
        self._link = link
        self._luck = luck
        self._share = share
        self._relay_s = relay_s
        self._packets = float(INITIAL_PACKETS)
        self._threshold = math.inf
        self._recovers = False
        self._until = 0.0
        self._starts: list[float] = []
        self._rates: list[float] = []

    def __call__(self, now: float) -> float:
        """Bytes a second."""
        while self._until <= now:
            self._round_trip()
        return self._rates[bisect_right(self._starts, now) - 1]

    def _round_trip(self) -> None:
        link = self._link(self._until)
        most = link.rate_bits_s / 8 * self._share
        least_s = 2 * link.delay_s + self._relay_s + SEGMENT_BYTES / most
        packets = self._packets
        took_s = max(least_s, packets * SEGMENT_BYTES / most)
        self._starts.append(self._until)
        self._rates.append(min(most, packets * SEGMENT_BYTES / least_s))
        self._until += took_s
        overflows = packets * SEGMENT_BYTES > most * least_s + link.queue_bytes
        if overflows or self._luck.random() < 1 - (1 - link.loss) ** max(1, int(packets)):
            self._packets = self._threshold = max(float(MINIMUM_PACKETS), packets * self._rules.kept)
            self._recovers = True
        elif self._recovers:
            self._recovers = False
        elif packets < self._threshold:
            if took_s > least_s * (1 + RTT_RISE):
                self._threshold = packets
            self._packets = min(2 * packets, self._threshold)
        else:
            self._packets = packets + self._rules.growth
