"""When the messages that wait on one stream are due.

A stream is sent front to back, so what it is to be ordered by is the deadline of the message that the next byte belongs
to: the first message that has bytes to send, or to send again. A message can't arrive before those in front of it, so
none is due later than one behind it.
"""

from __future__ import annotations

from bisect import bisect_right


class MessageDeadlines:
    """Deadlines by the offsets at which messages end. Offsets past the last end count as the last message's.

    Asking about the offsets of one message costs O(1), another message O(log n) in those not acknowledged.
    """

    __slots__ = ("_deadline", "_deadlines", "_end", "_ends", "_start")

    def __init__(self) -> None:
        self._ends: list[int] = []
        self._deadlines: list[float] = []
        self._start = self._end = 0  # of the message looked at last
        self._deadline = 0.0

    def __repr__(self) -> str:
        return f"<MessageDeadlines {list(zip(self._ends, self._deadlines, strict=True))}>"

    def add(self, end: int, deadline: float, *, acknowledged: int) -> None:
        """The next message ends at `end` and is due at `deadline`. Those that `acknowledged` reaches are forgotten."""
        done = bisect_right(self._ends, acknowledged)
        if done:
            del self._ends[:done]
            del self._deadlines[:done]
        # Within an answer only the first message can be due after its successor, so this ends where it begins.
        for index in range(len(self._deadlines) - 1, -1, -1):
            if self._deadlines[index] <= deadline:
                break
            self._deadlines[index] = deadline
        self._ends.append(end)
        self._deadlines.append(deadline)
        self._end = self._start  # what was looked up may not hold any more

    def covers(self, offset: int) -> bool:
        """True if `offset` is in the message that `at` was asked about last."""
        return self._start <= offset < self._end

    def at(self, offset: int) -> tuple[float, int]:
        """Deadline and end of the message that the byte at `offset` belongs to. Raises IndexError without messages."""
        if not self.covers(offset):
            index = min(bisect_right(self._ends, offset), len(self._ends) - 1)
            self._start = self._ends[index - 1] if index > 0 else 0
            self._end = self._ends[index]
            self._deadline = self._deadlines[index]
        return self._deadline, self._end
