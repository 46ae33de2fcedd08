"""First come, first served.

Order: the earliest arrival, of the call or of its answer, until it is empty; behind all that can be on time the late
ones, in the order of arrival. Ties: the lower stream number. Starvation: late work waits while there is work that can
be on time. Work without a deadline waits for what arrived before it; as that may have no end, it gets a share of the
link after `NO_DEADLINE_WAIT_S` (`policies.scheduling.timely_first`). Cost: O(log n) to add and to remove (amortised),
O(1) to ask again.
"""

from __future__ import annotations

from policies.scheduling.base import StreamOrder
from policies.scheduling.queues import Rank, RankedQueue
from policies.scheduling.timely_first import TimelyFirst


def arrival_rank(order: StreamOrder) -> Rank:
    """Earlier arrivals first."""
    return (order.arrived_at, order.stream_id)


class FirstComeFirstServed(TimelyFirst):
    """The `fcfs` discipline."""

    name = "fcfs"

    def __init__(self) -> None:
        super().__init__(lambda: RankedQueue(arrival_rank))
