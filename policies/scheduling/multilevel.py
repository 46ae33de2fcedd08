"""Two levels: the upper one by deadline, the lower one in a circle.

Order: streams of level `high`, earliest deadline first; while there is none, those of level `low`, one packet a stream
in a fixed circular order. Behind all that can be on time the late ones, in the same order. Ties: in the upper level the
earlier arrival, then the lower stream number; in the lower none. Starvation: late work waits while there is work that
can be on time, and so does the lower level while there is work in the upper: with a deadline it turns late, without one
it gets a share of the link after `NO_DEADLINE_WAIT_S` even if the upper level is never empty
(`policies.scheduling.timely_first`). Cost: O(log n) to add and to remove (amortised), O(1) to serve and to ask again.
"""

from __future__ import annotations

from policies.scheduling.base import StreamOrder
from policies.scheduling.edf import deadline_rank
from policies.scheduling.queues import Circle, RankedQueue
from policies.scheduling.timely_first import TimelyFirst


class TwoLevels:
    """A queue of two: the lower is asked when the upper is empty."""

    def __init__(self) -> None:
        self._upper = RankedQueue(deadline_rank)
        self._lower = Circle()

    def __len__(self) -> int:
        return len(self._upper) + len(self._lower)

    def __contains__(self, stream_id: int) -> bool:
        return stream_id in self._upper or stream_id in self._lower

    def put(self, order: StreamOrder) -> None:
        if order.level == "high":
            self._lower.discard(order.stream_id)
            self._upper.put(order)
        else:
            self._upper.discard(order.stream_id)
            self._lower.put(order)

    def first(self) -> int | None:
        upper = self._upper.first()
        return self._lower.first() if upper is None else upper

    def served(self, stream_id: int, sent_bytes: int) -> None:
        if stream_id in self._lower:
            self._lower.served(stream_id, sent_bytes)

    def discard(self, stream_id: int) -> None:
        self._upper.discard(stream_id)
        self._lower.discard(stream_id)


class MultiLevel(TimelyFirst):
    """The `multilevel` discipline."""

    name = "multilevel"

    def __init__(self) -> None:
        super().__init__(TwoLevels)
