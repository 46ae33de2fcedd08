"""Absolute priority: the level of the class decides, always.

Order: the lowest `priority` value among streams that are not late, and the earliest arrival within it; behind all of
them the late ones, in the same order. A stream keeps the link until it is empty or one of a lower value appears. Ties:
the lower stream number. Starvation: late work waits while there is work that can be on time, and so does a level with
deadlines while there is work above it: it turns late. Work without a deadline, which never does, gets a share of the
link after `NO_DEADLINE_WAIT_S` even if the levels above are never empty (`policies.scheduling.timely_first`). Cost:
O(log n) to add and to remove (amortised), O(1) to ask again.
"""

from __future__ import annotations

from policies.scheduling.base import StreamOrder
from policies.scheduling.queues import Rank, RankedQueue
from policies.scheduling.timely_first import TimelyFirst


def priority_rank(order: StreamOrder) -> Rank:
    """Lower levels first, earlier arrivals within one."""
    return (order.priority, order.arrived_at, order.stream_id)


class AbsolutePriority(TimelyFirst):
    """The `absolute` discipline."""

    name = "absolute"

    def __init__(self) -> None:
        super().__init__(lambda: RankedQueue(priority_rank))
