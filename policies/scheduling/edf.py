"""Earliest deadline first.

Order: the earliest deadline among streams that are not late, then those that have none; behind all of them the late
ones, in the order of their deadlines. A stream keeps the link until it is empty or a more urgent one appears:
preemption is at packet granularity. Ties: the earlier arrival, then the lower stream number. Starvation: late work
waits while there is work that can be on time. Work without a deadline waits while there is any that can still meet one,
and gets a share of the link after `NO_DEADLINE_WAIT_S` (`policies.scheduling.timely_first`). Cost: O(log n) to add and
to remove (amortised), O(1) to ask again. Optimal on one link while everything can be on time (Liu and Layland, 1973).
"""

from __future__ import annotations

from policies.scheduling.base import StreamOrder
from policies.scheduling.queues import Rank, RankedQueue
from policies.scheduling.timely_first import TimelyFirst


def deadline_rank(order: StreamOrder) -> Rank:
    """Earlier deadlines first, then earlier arrivals."""
    return (order.deadline, order.arrived_at, order.stream_id)


class EarliestDeadlineFirst(TimelyFirst):
    """The `edf` discipline."""

    name = "edf"

    def __init__(self) -> None:
        super().__init__(lambda: RankedQueue(deadline_rank))
