"""Round robin: one packet a stream, in a fixed circular order.

Order: streams stand in a circle in the order in which they became ready; the one that filled a packet goes to the end.
Late streams have a circle of their own, behind. Ties: none. Starvation: late work waits while there is work that can be
on time; with n streams that are not late, with and without deadlines, each sends every n-th packet at least. Cost: O(1)
to serve, O(log n) to add and to remove a stream with a deadline.
"""

from __future__ import annotations

from policies.scheduling.queues import Circle
from policies.scheduling.timely_first import TimelyFirst


class RoundRobin(TimelyFirst):
    """The `rr` discipline."""

    name = "rr"

    def __init__(self) -> None:
        super().__init__(Circle, waits=False)
