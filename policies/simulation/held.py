"""The daemon's own queue for deciding late: requests in order of deadline until a candidate has room.

A held request is asked about again whenever something changes while some candidate has room, those with the earlier
deadline first. If the policy names a candidate with room, it is sent there; if one without room, it goes on waiting,
and counts as waiting there for those behind it. A request whose time is over is sent only when nobody else waits.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LateBinding:
    """How late. A candidate has room while fewer requests than this wait in its own queue."""

    batches: float = 1.0
    """Of the largest size, on every instance."""
    looks: int = 64
    """Held requests that go on waiting after one change, at most: what a change may cost has an end."""


class HeldRequests:
    """Keys of requests by deadline, walked from the earliest on."""

    __slots__ = ("_held", "_late", "_looked", "_looks", "_place")

    def __init__(self, looks: int) -> None:
        self._looks = looks
        self._held: list[tuple[float, int]] = []
        self._late: deque[int] = deque()
        self._place = 0
        self._looked = looks

    def __len__(self) -> int:
        return len(self._held) + len(self._late)

    def __repr__(self) -> str:
        return f"<HeldRequests {len(self._held)} in time, {len(self._late)} late>"

    def hold(self, key: int, last_at: float) -> None:
        """Keep a request; it is late when `last_at` has passed. Ties go by key."""
        insort(self._held, (last_at, key))

    def discard(self, key: int) -> None:
        """Keep it no more."""
        self._held = [entry for entry in self._held if entry[1] != key]
        self._late = deque(entry for entry in self._late if entry != key)

    def rewind(self) -> None:
        """Something has changed: ask from the beginning."""
        self._place = self._looked = 0

    def next(self, *, now: float) -> int | None:
        """The next to ask about, which leaves the queue; `keep` puts it back. None when all were asked about."""
        if self._looked >= self._looks:
            return None
        while self._held and self._held[0][0] < now:
            _, key = self._held.pop(0)
            self._late.append(key)
            self._place = max(0, self._place - 1)
        if self._place < len(self._held):
            return self._held.pop(self._place)[1]
        if not self._held and self._late:
            return self._late.popleft()
        return None

    def keep(self, key: int, last_at: float, *, now: float) -> None:
        """It goes on waiting, and is asked about after the next change."""
        if last_at < now:
            self._late.appendleft(key)
            self._looked = self._looks
            return
        self._looked += 1
        self._held.insert(self._place, (last_at, key))
        self._place += 1
