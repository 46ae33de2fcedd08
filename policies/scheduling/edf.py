"""Earliest deadline first.

Order: the earliest `due_at` among streams that are not late; behind all of them the late ones, in the order of their
deadlines. A stream keeps the link until it is empty or a more urgent one appears: preemption is at packet granularity.
Ties: the earlier arrival, then the lower stream number. Starvation: late work waits while there is work that can be on
time. Work without a deadline waits at most `NO_DEADLINE_WAIT_S` longer than the link needs for what is due before then.
Cost: O(log n) to add and to remove (amortised: entries that no longer hold are dropped when they come up, or once they
outnumber those that do), O(1) to ask again. Optimal on one link while everything can be on time (Liu and Layland,
1973).
"""

from __future__ import annotations

import heapq

from policies.scheduling.base import PathEstimate, StreamOrder

_Entry = tuple[float, float, int, int]  # due_at, arrived_at, stream_id, version

_STALE_ENTRIES = 64
"""Entries that no longer hold and are not worth looking for."""


class EarliestDeadlineFirst:
    """The `edf` discipline."""

    name = "edf"

    def __init__(self) -> None:
        self._orders: dict[int, tuple[StreamOrder, int]] = {}
        self._timely: list[_Entry] = []
        self._late: list[_Entry] = []
        self._version = 0

    def __repr__(self) -> str:
        return f"<EarliestDeadlineFirst ready={len(self._orders)} entries={self._entries}>"

    def __len__(self) -> int:
        return len(self._orders)

    def add(self, order: StreamOrder, *, unsent_bytes: int, now: float) -> None:
        known = self._orders.get(order.stream_id)
        if known is not None and known[0] == order:
            return
        self._version += 1
        self._orders[order.stream_id] = (order, self._version)
        heap = self._late if order.is_late(now=now) else self._timely
        heapq.heappush(heap, (order.due_at, order.arrived_at, order.stream_id, self._version))
        if self._entries > 2 * len(self._orders) + _STALE_ENTRIES:
            self._compact()

    def next(self, *, now: float) -> int | None:
        timely = self._timely
        while timely:
            entry = timely[0]
            if not self._holds(entry):
                heapq.heappop(timely)
            elif self._orders[entry[2]][0].is_late(now=now):
                heapq.heappush(self._late, heapq.heappop(timely))
            else:
                return entry[2]
        late = self._late
        while late:
            if self._holds(late[0]):
                return late[0][2]
            heapq.heappop(late)
        return None

    def served(self, stream_id: int, *, sent_bytes: int, now: float) -> None:
        """Nothing to do: the order does not depend on what was sent."""

    def remove(self, stream_id: int) -> None:
        self._orders.pop(stream_id, None)
        if not self._orders:
            self._timely.clear()
            self._late.clear()

    def on_path(self, path: PathEstimate, *, now: float) -> None:
        """Nothing to do: the order does not depend on the path."""

    def log_data(self, *, now: float) -> dict[str, str | int | float]:
        late = sum(1 for order, _ in self._orders.values() if order.is_late(now=now))
        return {"ready": len(self._orders), "late": late}

    @property
    def _entries(self) -> int:
        return len(self._timely) + len(self._late)

    def _compact(self) -> None:
        """Drop what no longer holds. A token stream moves its deadline with each message, behind others that stay."""
        for heap in (self._timely, self._late):
            heap[:] = filter(self._holds, heap)
            heapq.heapify(heap)

    def _holds(self, entry: _Entry) -> bool:
        known = self._orders.get(entry[2])
        return known is not None and known[1] == entry[3]
