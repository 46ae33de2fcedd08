"""Which candidate each sequence is on: Triton keeps its state in one model, so all of its requests must go there."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

IDLE_S = 60.0
"""A sequence without a request for this long is forgotten. Triton's own default is 1 s
(`max_sequence_idle_microseconds`), so whatever is forgotten here has long been given up there, unless the model's
configuration asks for more than a minute.
"""
CAPACITY = 100_000
"""Sequences remembered at once, about 30 MB. Beyond it new ones are refused: forgetting one that lives would break
it.
"""

T = TypeVar("T")


@dataclass(slots=True)
class _Entry(Generic[T]):
    candidate: T
    used_at: float


class Sequences(Generic[T]):
    """A table from a route and a sequence id to a candidate, bounded, oldest use first."""

    def __init__(self, *, idle_s: float = IDLE_S, capacity: int = CAPACITY) -> None:
        self._idle_s = idle_s
        self._capacity = capacity
        self._entries: OrderedDict[tuple[str, int | str], _Entry[T]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<Sequences {len(self._entries)} of {self._capacity}>"

    def find(self, route: str, sequence: int | str, *, now: float) -> T | None:
        """The candidate that the sequence is on, which counts as a use; None for one that is not known."""
        self._expire(now)
        key = (route, sequence)
        entry = self._entries.get(key)
        if entry is None:
            return None
        entry.used_at = now
        self._entries.move_to_end(key)
        return entry.candidate

    def put(self, route: str, sequence: int | str, candidate: T, *, now: float) -> bool:
        """Keep the sequence on a candidate, whatever it was on before. False when the table is full."""
        self._expire(now)
        key = (route, sequence)
        if key not in self._entries and len(self._entries) >= self._capacity:
            return False
        self._entries[key] = _Entry(candidate, now)
        self._entries.move_to_end(key)
        return True

    def end(self, route: str, sequence: int | str) -> None:
        """Forget the sequence: its last request is on the way, or its candidate lost it."""
        self._entries.pop((route, sequence), None)

    def _expire(self, now: float) -> None:
        while self._entries:
            key, entry = next(iter(self._entries.items()))
            if now - entry.used_at < self._idle_s:
                return
            del self._entries[key]
