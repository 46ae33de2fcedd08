"""The orders that disciplines are made of: by rank, and in a circle.

A queue knows nothing of deadlines that have passed: `policies.scheduling.timely_first` keeps late streams in a queue of
their own.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from policies.scheduling.base import StreamOrder

Rank = tuple[float, ...]
"""The lower goes first. The last item is the stream's number, so that no two streams are equal."""

STALE_ENTRIES = 64
"""Heap entries that no longer hold and are not worth looking for."""


class Queue(Protocol):
    """Streams in the order in which a discipline serves them."""

    def put(self, order: StreamOrder) -> None:
        """The stream is ready; for one already here, its order has changed."""

    def first(self) -> int | None:
        """The stream to serve next. Asking changes nothing that a later answer depends on."""

    def served(self, stream_id: int, sent_bytes: int) -> None:
        """A stream that is here, as a rule the first, has filled a packet with `sent_bytes` and has more."""

    def discard(self, stream_id: int) -> None:
        """The stream leaves. Unknown streams are ignored."""

    def __len__(self) -> int:
        """How many streams are here."""

    def __contains__(self, stream_id: int) -> bool:
        """Whether the stream is here."""


class Ranking:
    """Numbers of streams by rank: a heap whose entries no longer hold once their stream has left or has moved.

    They are dropped when they come up, or once they outnumber those that hold, so that every operation is O(log n)
    amortised and room grows with the streams that are here.
    """

    def __init__(self) -> None:
        self._ranks: dict[int, Rank] = {}
        self._heap: list[tuple[Rank, int]] = []

    def __repr__(self) -> str:
        return f"<Ranking streams={len(self._ranks)} entries={len(self._heap)}>"

    def __len__(self) -> int:
        return len(self._ranks)

    def __contains__(self, stream_id: int) -> bool:
        return stream_id in self._ranks

    def put(self, stream_id: int, rank: Rank) -> None:
        """Enter a stream, or move it."""
        if self._ranks.get(stream_id) == rank:
            return
        self._ranks[stream_id] = rank
        heapq.heappush(self._heap, (rank, stream_id))
        if len(self._heap) > 2 * len(self._ranks) + STALE_ENTRIES:
            self._heap = [(held, number) for number, held in self._ranks.items()]
            heapq.heapify(self._heap)

    def first(self) -> tuple[Rank, int] | None:
        """The stream of the lowest rank, with it."""
        heap, ranks = self._heap, self._ranks
        while heap:
            entry = heap[0]
            if ranks.get(entry[1]) is entry[0]:
                return entry
            heapq.heappop(heap)
        return None

    def discard(self, stream_id: int) -> None:
        """Forget a stream. Unknown ones are ignored."""
        if self._ranks.pop(stream_id, None) is not None and not self._ranks:
            self._heap.clear()


class RankedQueue:
    """Streams by a rank that their order gives them: each is served until it is empty or a lower rank appears."""

    def __init__(self, rank_of: Callable[[StreamOrder], Rank]) -> None:
        self._rank_of = rank_of
        self._ranking = Ranking()

    def __len__(self) -> int:
        return len(self._ranking)

    def __contains__(self, stream_id: int) -> bool:
        return stream_id in self._ranking

    def put(self, order: StreamOrder) -> None:
        self._ranking.put(order.stream_id, self._rank_of(order))

    def first(self) -> int | None:
        entry = self._ranking.first()
        return None if entry is None else entry[1]

    def served(self, stream_id: int, sent_bytes: int) -> None:
        """Nothing to do: the rank does not depend on what was sent."""

    def discard(self, stream_id: int) -> None:
        self._ranking.discard(stream_id)


class Circle:
    """Streams in the order in which they came; the one that filled a packet goes to the end. All in O(1)."""

    def __init__(self) -> None:
        # Not a dict: finding its first key walks over all those deleted in front of it.
        self._streams: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._streams)

    def __contains__(self, stream_id: int) -> bool:
        return stream_id in self._streams

    def put(self, order: StreamOrder) -> None:
        self._streams.setdefault(order.stream_id)

    def first(self) -> int | None:
        return next(iter(self._streams), None)

    def served(self, stream_id: int, sent_bytes: int) -> None:
        self._streams.move_to_end(stream_id)

    def discard(self, stream_id: int) -> None:
        self._streams.pop(stream_id, None)
