"""How much of one call may wait in this process.

Receiving: a stream's credit goes back to the sender when the application takes a message. Bytes of a message that is
still arriving are given back at once while nobody has a finished message left to read, because that message could
otherwise never be completed once it is larger than the window. So a reader that stops holds at most one window of
finished messages and one of an unfinished one. Sending: a writer waits while more than `HIGH_WATER_BYTES` of its stream
have not been put into packets. The mark holds back the next message, never a part of one: whatever its length, the
scheduler knows of all of a message from the moment it is written.
"""

from __future__ import annotations

HIGH_WATER_BYTES = 256 * 1024
"""Unsent bytes of one stream from which on its writer waits. Two bandwidth-delay products at 20 Mbit/s and 50 ms."""


class ReceiveCredit:
    """Counts what of one stream has arrived, is unread, and may be given back to the sender."""

    __slots__ = ("_owed", "_unread")

    def __init__(self) -> None:
        self._owed = 0
        self._unread = 0

    def __repr__(self) -> str:
        return f"<ReceiveCredit owed={self._owed} unread={self._unread}>"

    def arrived(self, size_bytes: int, *, finished: int) -> int:
        """`size_bytes` came in and completed `finished` messages. Returns the bytes to give back now."""
        self._owed += size_bytes
        self._unread += finished
        return self._settle(0)

    def consumed(self, wire_bytes: int) -> int:
        """The application took a message that was `wire_bytes` long on the wire. Returns the bytes to give back now."""
        self._unread -= 1
        return self._settle(wire_bytes)

    def _settle(self, size_bytes: int) -> int:
        give = self._owed if self._unread == 0 else min(size_bytes, self._owed)
        self._owed -= give
        return give
