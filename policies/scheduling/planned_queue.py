"""A queue that serves by deadline those that fit, and behind them what does not.

Streams stand in four tiers, served in this order: `kept`, which can all be on time together; `parked`, which could be
if others were not; those without a deadline, by deficit round robin; `hopeless`, which would be late even with the link
to themselves. Within a tier with deadlines the stream goes first whose last byte must leave first.

A plan (`policies.scheduling.moore_hodgson`) says who stands where. It is made anew when it may no longer hold: what the
kept ones have to spare was taken up by new work or was lost because the link delivered less than expected; the rate has
changed; or something stands behind that may fit by now. As long as the link delivers at the planned rate, serving by
deadline keeps everybody's spare time as it is, so that there is nothing to do.

Cost: O(log n) comparisons to put and to discard, with the moving of n pointers that an insertion into a list takes;
O(1) to serve and to ask. A plan for n streams with deadlines costs O(n log n), O(n) while all fit, and comes after n /
`PLANS` operations at the earliest, so that it adds O(log n) to each operation, amortised.
"""

from __future__ import annotations

import enum
import math
from bisect import bisect_left, insort
from dataclasses import dataclass

from policies.scheduling.base import StreamOrder
from policies.scheduling.moore_hodgson import Need, given_up
from policies.scheduling.weighted import Rounds
from policies.traffic import NO_DEADLINE

PLANS = 2
"""How many plans are made, at most, in as many operations as there are streams with a deadline; a packet takes three
or so. Until the next plan new streams count as kept, and what is out of date are n / 6 packets where n or more wait. A
plan for 10 000 streams, a third of them given up, took 45 ms on one core of a shared machine, one for 100 took 0.2."""
FEW = 16
"""So many streams are planned for whenever there is reason to: 20 µs."""
RATE_STEP = 0.05
"""A change of the rate by less than this share does not call for a plan. BBR's estimate moves by a few percent from
round to round on a link that does not change."""
HOPE = 1.25
"""Hopeless are those that would be late at the planned rate times this."""

_Place = tuple[float, float, int]  # due_at, arrived_at, stream_id


class _Tier(enum.IntEnum):
    KEPT = 0
    PARKED = 1
    HOPELESS = 2


@dataclass(slots=True)
class _Stream:
    order: StreamOrder
    unsent_bytes: float = 1.0
    """At least one: the last packet may carry no more than the end of the stream."""
    tier: _Tier = _Tier.KEPT

    @property
    def due_at(self) -> float:
        """When its last byte must have left, but for what all streams need for delivery."""
        return self.order.deadline - self.order.answer_s

    @property
    def place(self) -> _Place:
        return self.due_at, self.order.arrived_at, self.order.stream_id


class PlannedQueue:
    """The queue of the `adaptive` discipline. Without a rate everybody is kept, and the order is by deadline."""

    def __init__(self) -> None:
        self._streams: dict[int, _Stream] = {}
        self._tiers: tuple[list[_Place], list[_Place], list[_Place]] = ([], [], [])
        self._open_ended = Rounds()
        self._rate = math.inf
        self._delivery_s = 0.0
        self._kept_bytes = 0.0
        self._spare_bytes = math.inf  # what could come before all of the kept ones, at the time of the plan
        self._planned_at = 0.0
        self._stale = False
        self._operations = 0

    def __len__(self) -> int:
        return len(self._streams) + len(self._open_ended)

    def __contains__(self, stream_id: int) -> bool:
        return stream_id in self._streams or stream_id in self._open_ended

    @property
    def kept(self) -> int:
        """How many are to be on time."""
        return len(self._tiers[_Tier.KEPT])

    @property
    def parked(self) -> int:
        """How many stand behind those although they could be on time without them."""
        return len(self._tiers[_Tier.PARKED])

    @property
    def hopeless(self) -> int:
        """How many can't be on time any more."""
        return len(self._tiers[_Tier.HOPELESS])

    @property
    def open_ended(self) -> int:
        """How many have no deadline."""
        return len(self._open_ended)

    def put(self, order: StreamOrder) -> None:
        self._operations += 1
        if order.deadline == NO_DEADLINE:
            self._forget(order.stream_id)
            self._open_ended.put(order)
            return
        self._open_ended.discard(order.stream_id)
        known = self._streams.get(order.stream_id)
        if known is not None and known.order == order:
            return
        unsent_bytes = 1.0 if known is None else known.unsent_bytes
        self._forget(order.stream_id)
        stream = self._streams[order.stream_id] = _Stream(order, unsent_bytes)
        insort(self._tiers[_Tier.KEPT], stream.place)
        self._take(stream, unsent_bytes)

    def resize(self, stream_id: int, unsent_bytes: int) -> None:
        """Say how much a stream has to send. Streams without a deadline and unknown ones are ignored."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        self._operations += 1
        grown = max(float(unsent_bytes), 1.0) - stream.unsent_bytes
        stream.unsent_bytes += grown
        if stream.tier is _Tier.KEPT:
            self._take(stream, grown)
        elif grown:
            self._stale = True

    def first(self) -> int | None:
        kept, parked, hopeless = self._tiers
        if kept:
            return kept[0][2]
        if parked:
            return parked[0][2]
        if len(self._open_ended):
            return self._open_ended.first()
        return hopeless[0][2] if hopeless else None

    def served(self, stream_id: int, sent_bytes: int) -> None:
        self._operations += 1
        stream = self._streams.get(stream_id)
        if stream is None:
            self._open_ended.served(stream_id, sent_bytes)
            return
        sent = min(float(sent_bytes), stream.unsent_bytes - 1.0)
        stream.unsent_bytes -= sent
        if stream.tier is _Tier.KEPT:
            self._kept_bytes -= sent
            self._spare_bytes += sent

    def discard(self, stream_id: int) -> None:
        self._operations += 1
        self._forget(stream_id)
        self._open_ended.discard(stream_id)

    def review(self, rate: float, delivery_s: float, *, patience_s: float, now: float) -> bool:
        """Plan again if that is due; returns whether it was.

        `rate` is in bytes a second, `delivery_s` what must be left of a deadline when the last byte departs. What
        stands behind is looked at again every `patience_s`.
        """
        self._operations += 1
        if not self._streams:
            self._rate, self._delivery_s, self._planned_at, self._stale = rate, delivery_s, now, False
            return False
        if not self._stale:
            self._stale = self._has_moved(rate, delivery_s, patience_s, now)
        if self._stale and (len(self._streams) <= FEW or self._operations * PLANS >= len(self._streams)):
            self._plan(rate, delivery_s, now)
            return True
        return False

    def _has_moved(self, rate: float, delivery_s: float, patience_s: float, now: float) -> bool:
        if rate != self._rate and not abs(rate - self._rate) <= RATE_STEP * self._rate < math.inf:
            return True
        since_plan_s = now - self._planned_at
        if (self._tiers[_Tier.PARKED] or self._tiers[_Tier.HOPELESS]) and since_plan_s >= patience_s:
            return True
        if self._rate == math.inf:
            return False
        lost = (since_plan_s + max(delivery_s - self._delivery_s, 0.0)) * self._rate
        return bool(self._tiers[_Tier.KEPT]) and self._spare_bytes < lost

    def _take(self, stream: _Stream, grown: float) -> None:
        """Account for what a kept stream needs more.

        If all of the kept ones fit before it is due, it fits for certain. Those that are due before it lose nothing,
        which is seen where that is all of them.
        """
        self._kept_bytes += grown
        if self._rate == math.inf:
            return
        if self._tiers[_Tier.KEPT][-1] != stream.place:
            self._spare_bytes -= max(grown, 0.0)  # those before one that shrinks gain nothing
        room = self._rate * (stream.due_at - self._delivery_s - self._planned_at)
        self._spare_bytes = min(self._spare_bytes, room - self._kept_bytes)

    def _plan(self, rate: float, delivery_s: float, now: float) -> None:
        kept, parked, hopeless = self._tiers
        places = sorted(kept + parked + hopeless) if parked or hopeless else kept
        streams = [self._streams[place[2]] for place in places]
        self._rate, self._delivery_s, self._planned_at = rate, delivery_s, now
        self._stale, self._operations = False, 0
        behind: set[int] = set()
        needs: list[Need] = []
        if rate < math.inf:
            latest_at = now + delivery_s
            needs = [
                Need(stream.unsent_bytes, rate * (stream.due_at - latest_at), stream.order.weight) for stream in streams
            ]
            behind = set(given_up(needs))
        if not behind and places is kept:
            self._count(needs)
            return
        tiers: tuple[list[_Place], list[_Place], list[_Place]] = ([], [], [])
        for index, (place, stream) in enumerate(zip(places, streams, strict=True)):
            if index not in behind:
                stream.tier = _Tier.KEPT
            elif stream.unsent_bytes <= HOPE * needs[index].room_bytes:
                stream.tier = _Tier.PARKED
            else:
                stream.tier = _Tier.HOPELESS
            tiers[stream.tier].append(place)
        self._tiers = tiers
        self._count([need for index, need in enumerate(needs) if index not in behind])

    def _count(self, needs: list[Need]) -> None:
        """Add up what the kept ones need and what they have to spare."""
        self._spare_bytes = math.inf
        self._kept_bytes = 0.0
        for need in needs:
            self._kept_bytes += need.unsent_bytes
            self._spare_bytes = min(self._spare_bytes, need.room_bytes - self._kept_bytes)
        if not needs:
            self._kept_bytes = sum(self._streams[place[2]].unsent_bytes for place in self._tiers[_Tier.KEPT])

    def _forget(self, stream_id: int) -> None:
        stream = self._streams.pop(stream_id, None)
        if stream is None:
            return
        places = self._tiers[stream.tier]
        index = bisect_left(places, stream.place)
        del places[index]
        if stream.tier is not _Tier.KEPT:
            return
        self._kept_bytes -= stream.unsent_bytes
        if not places:
            self._kept_bytes, self._spare_bytes = 0.0, math.inf
            self._stale = True  # those behind may fit now
        elif index == 0:
            self._spare_bytes += stream.unsent_bytes  # all others gain; of one further back only those behind it
