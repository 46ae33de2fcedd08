"""Shares by weight: deficit round robin.

Order: in rounds. A round visits the streams that were there when it began, in the order in which they became ready, and
adds `QUANTUM_BYTES` times the stream's weight to its balance. A stream whose balance is above zero sends until that is
used up; what its last packet took too much stays as a debt. A stream that leaves forgets its balance, and one whose
weight changes leaves and comes back. Late streams have rounds of their own, behind all that can be on time. Ties: none.
Starvation: late work waits while there is work that can be on time. Otherwise a stream sends once in as many rounds as
its weight needs for a packet, and without a deadline it gets a share of the link after `NO_DEADLINE_WAIT_S`, however
small its weight (`policies.scheduling.timely_first`). Cost: O(log n) for every operation (amortised), whatever the
weights: rounds in which a stream only pays back its debt are skipped by division.

Deficit round robin is Shreedhar and Varghese's (1995); the debt instead of a packet that must fit is surplus round
robin (Adiseshu, Parulkar, Varghese, 1996), as a stream's next packet can have any size here.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from policies.scheduling.base import StreamOrder
from policies.scheduling.queues import Ranking
from policies.scheduling.timely_first import TimelyFirst

QUANTUM_BYTES = 1500
"""For a weight of one: a packet of the largest size common on the Internet, so that such a stream sends in every round
(Shreedhar and Varghese, section 4)."""
LEAST_WEIGHT = 1e-6
"""Weights below count as this one, so that rounds stay whole numbers that a float holds."""


@dataclass(slots=True)
class _Share:
    """One stream's account."""

    weight: float
    place: int
    turn: int
    """The round of its next or present turn."""
    balance_bytes: float
    """In that round, after what the round adds."""

    @property
    def rank(self) -> tuple[int, int]:
        return self.turn, self.place

    @property
    def grant_bytes(self) -> float:
        return QUANTUM_BYTES * self.weight


class Rounds:
    """A queue by deficit round robin, whose heap has each stream at the round in which it may send next."""

    def __init__(self) -> None:
        self._shares: dict[int, _Share] = {}
        self._turns = Ranking()
        self._places = itertools.count()
        self._round = 0

    def __len__(self) -> int:
        return len(self._shares)

    def __contains__(self, stream_id: int) -> bool:
        return stream_id in self._shares

    def put(self, order: StreamOrder) -> None:
        weight = max(order.weight, LEAST_WEIGHT)
        known = self._shares.get(order.stream_id)
        if known is not None:
            if known.weight == weight:
                return
            self.discard(order.stream_id)
        share = _Share(weight, next(self._places), self._round + 1, QUANTUM_BYTES * weight)
        self._shares[order.stream_id] = share
        self._turns.put(order.stream_id, share.rank)

    def first(self) -> int | None:
        entry = self._turns.first()
        return None if entry is None else entry[1]

    def served(self, stream_id: int, sent_bytes: int) -> None:
        self._begin_turn(stream_id)
        share = self._shares[stream_id]
        share.balance_bytes -= sent_bytes
        if share.balance_bytes <= 0:
            rounds = math.floor(-share.balance_bytes / share.grant_bytes) + 1
            share.turn += rounds
            share.balance_bytes += rounds * share.grant_bytes
            self._turns.put(stream_id, share.rank)

    def discard(self, stream_id: int) -> None:
        if stream_id in self._shares:
            self._begin_turn(stream_id)
            del self._shares[stream_id]
            self._turns.discard(stream_id)

    def _begin_turn(self, stream_id: int) -> None:
        """Rounds go on as the stream whose turn it is sends, or leaves. Others may be served out of turn."""
        if self.first() == stream_id:
            self._round = self._shares[stream_id].turn


class Weighted(TimelyFirst):
    """The `weighted` discipline."""

    name = "weighted"

    def __init__(self) -> None:
        super().__init__(Rounds)
