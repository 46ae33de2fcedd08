"""Round robin: one packet a stream, in a fixed circular order.

Order: streams stand in a circle in the order in which they became ready; the one that filled a packet goes to the end.
Ties: none. Starvation: none; with n ready streams each sends every n-th packet. Cost: O(1) for every operation.
"""

from __future__ import annotations

from policies.scheduling.base import PathEstimate, StreamOrder


class RoundRobin:
    """The `rr` discipline. Knows nothing of classes and deadlines."""

    name = "rr"

    def __init__(self) -> None:
        self._circle: dict[int, None] = {}  # insertion order is the circle; a dict removes from the middle in O(1)

    def __repr__(self) -> str:
        return f"<RoundRobin ready={len(self._circle)}>"

    def __len__(self) -> int:
        return len(self._circle)

    def add(self, order: StreamOrder, *, unsent_bytes: int, now: float) -> None:
        self._circle.setdefault(order.stream_id)

    def next(self, *, now: float) -> int | None:
        return next(iter(self._circle), None)

    def served(self, stream_id: int, *, sent_bytes: int, now: float) -> None:
        if stream_id in self._circle:
            del self._circle[stream_id]
            self._circle[stream_id] = None

    def remove(self, stream_id: int) -> None:
        self._circle.pop(stream_id, None)

    def on_path(self, path: PathEstimate, *, now: float) -> None:
        """Nothing to do: the order does not depend on the path."""

    def log_data(self, *, now: float) -> dict[str, str | int | float]:
        return {"ready": len(self._circle)}
