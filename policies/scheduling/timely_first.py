"""What all disciplines have in common: late work stands behind, and work without a deadline gets a share in the end.

A discipline is a `Queue`. `TimelyFirst` keeps two of them, one for streams that can be on time and one for late ones,
and moves a stream over when its deadline passes.

A stream without a deadline is never late. Once `NO_DEADLINE_WAIT_S` have passed since it arrived it is overdue: it
keeps its place, and besides every overdue stream in turn gets a packet out of `OVERDUE_SHARE` of the link, whatever
the discipline says. A share, not precedence: a call that is open for an hour must not go before everything that is due
in a second. With k streams overdue, each sends a packet at least once in the time that the link takes for k packets
divided by `OVERDUE_SHARE`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from policies.scheduling.base import PathEstimate, StreamOrder
from policies.scheduling.queues import Circle, Queue, Ranking
from policies.traffic import NO_DEADLINE

OVERDUE_SHARE = 0.1
"""Of the bytes that leave while there is overdue work. Linux keeps a twentieth of the processor from real-time tasks
for the same reason (sched_rt_runtime_us); a tenth is what 100 kB of overdue work need on 1 Mbit/s to be through in 8 s.
"""
TURN_BYTES = 1200
"""What overdue streams must be owed before one has its turn: the packet that any path carries (RFC 9000 section 14).
A larger packet is paid back before the next turn."""
FRAME_BYTES = 19
"""What the last frame of a stream takes beyond its data: the longest header of a STREAM frame (RFC 9000 section
19.8)."""


class TimelyFirst:
    """A scheduler out of a kind of queue. A discipline is a subclass that names the queue, and adds nothing else.

    `waits` off: the discipline starves nobody, and there is no need to look after those without a deadline.
    """

    name: ClassVar[str]

    def __init__(self, make_queue: Callable[[], Queue], *, waits: bool = True) -> None:
        self._waits = waits
        self._orders: dict[int, StreamOrder] = {}
        self._unsent: dict[int, int] = {}
        self._timely = make_queue()
        self._late = make_queue()
        self._moments = Ranking()  # when streams turn late or overdue
        self._overdue = Circle()
        self._credit = 0  # bytes of others, which overdue streams get a part of

    def __repr__(self) -> str:
        return f"<{type(self).__name__} ready={len(self._orders)}>"

    def __len__(self) -> int:
        return len(self._orders)

    def add(self, order: StreamOrder, *, unsent_bytes: int, now: float) -> None:
        self._move_on(now)
        stream_id = order.stream_id
        self._unsent[stream_id] = unsent_bytes
        known = self._orders.get(stream_id)
        if known == order:
            return
        self._orders[stream_id] = order
        late = order.is_late(now=now)
        if known is not None:
            (self._timely if late else self._late).discard(stream_id)
            self._overdue.discard(stream_id)
        (self._late if late else self._timely).put(order)
        if late or (order.deadline == NO_DEADLINE and not self._waits):
            self._moments.discard(stream_id)
        else:
            self._moments.put(stream_id, (order.due_at, order.arrived_at, stream_id))
            self._move_on(now)

    def next(self, *, now: float) -> int | None:
        self._move_on(now)
        if self._credit >= _TURN_CREDIT and (overdue := self._overdue.first()) is not None:
            return overdue
        timely = self._timely.first()
        return self._late.first() if timely is None else timely

    def served(self, stream_id: int, *, sent_bytes: int, now: float) -> None:
        self._move_on(now)
        if stream_id not in self._orders:
            return
        self._unsent[stream_id] = max(self._unsent[stream_id] - sent_bytes, 0)
        self._account(stream_id, sent_bytes)
        if stream_id in self._overdue:
            self._overdue.served(stream_id, sent_bytes)
        (self._timely if stream_id in self._timely else self._late).served(stream_id, sent_bytes)

    def remove(self, stream_id: int) -> None:
        if self._orders.pop(stream_id, None) is None:
            return
        # As a rule it has just sent the last of it. Where it was reset or blocked, that counts as a packet at most.
        self._account(stream_id, min(self._unsent.pop(stream_id) + FRAME_BYTES, TURN_BYTES))
        for place in (self._timely, self._late, self._moments, self._overdue):
            place.discard(stream_id)

    def on_path(self, path: PathEstimate, *, now: float) -> None:
        """Nothing to do: the order does not depend on the path."""

    def log_data(self, *, now: float) -> dict[str, str | int | float]:
        self._move_on(now)
        return {"ready": len(self._orders), "late": len(self._late), "overdue": len(self._overdue)}

    def _move_on(self, now: float) -> None:
        """Note whose deadline or patience has run out. Each stream moves once, so this is O(log n) amortised."""
        while (entry := self._moments.first()) is not None and entry[0][0] < now:
            stream_id = entry[1]
            self._moments.discard(stream_id)
            order = self._orders[stream_id]
            if order.deadline == NO_DEADLINE:
                self._overdue.put(order)
            else:
                self._timely.discard(stream_id)
                self._late.put(order)

    def _account(self, stream_id: int, sent_bytes: int) -> None:
        """Keep what overdue streams are owed: a turn takes from it, everybody else's bytes add to it."""
        if self._credit >= _TURN_CREDIT and self._overdue.first() == stream_id:
            self._credit -= sent_bytes * _OTHERS
        else:
            self._credit = min(self._credit + sent_bytes, _TURN_CREDIT)


_OTHERS = round(1 / OVERDUE_SHARE) - 1  # bytes of others for one of overdue work; whole, so that sums are exact
_TURN_CREDIT = TURN_BYTES * _OTHERS
