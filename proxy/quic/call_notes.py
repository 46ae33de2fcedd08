"""Notes of when a call passes the tunnel, in its `CallTimes`: once a message, never once a packet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from proxy.tunnel.clock_sync import ClockOffset
from proxy.tunnel.exchange import CallTimes
from proxy.tunnel.far_times import decode_times, encode_times

Offset = Callable[[], ClockOffset | None]
"""How far the daemon's clock is ahead of ours, as far as that is known."""


class Watched(Protocol):
    """What of `proxy.quic.connection.ScheduledConnection` is needed here."""

    @property
    def least_way_s(self) -> float:
        """Half of the shortest round trip; 0 before the first sample."""

    def watch_start(self, stream_id: int, on_start: Callable[[float], None]) -> None:
        """Tell when the first byte leaves of what is written next to a stream."""

    def watch_end(self, stream_id: int, on_end: Callable[[float], None]) -> None:
        """Tell when all of a stream has left, with 0.0 if part of it never will."""

    def is_delivered(self, stream_id: int) -> bool:
        """True if all that was written to a stream is acknowledged, or the stream is gone."""


class OutgoingNotes:
    """Those of a call that is made over the tunnel."""

    __slots__ = ("_connection", "_offset", "_stream_id", "_times", "_watches")

    def __init__(self, times: CallTimes, connection: Watched, stream_id: int, *, offset: Offset) -> None:
        self._times = times
        self._connection = connection
        self._stream_id = stream_id
        self._offset = offset
        self._watches = False
        times.restart()

    def __repr__(self) -> str:
        return f"<OutgoingNotes {self._stream_id} {self._times!r}>"

    def writes_message(self) -> None:
        """A message is about to be written."""
        if not self._watches:
            self._watches = True
            self._connection.watch_start(self._stream_id, self._times.note_sent)

    def got_part(self, now: float) -> None:
        """Part of a message of the answer has come."""
        self._times.answer_began_at = self._times.answer_began_at or now

    def got_message(self, now: float) -> None:
        """A message of the answer is complete."""
        if not self._times.answered_at:
            self.got_part(now)
            self._times.answered_at = now

    def got_status(self, stages: bytes, now: float) -> None:
        """The answer is complete; `stages` is what its `headway-stages` says."""
        times = self._times
        self.got_message(now)
        times.ended_at = now
        times.far = decode_times(stages) if stages else None
        offset = self._offset()
        times.far_ahead_s = None if offset is None else offset.offset_s
        times.least_way_s = self._connection.least_way_s

    def cancels(self) -> None:
        """The call is about to be given up."""
        self._times.unacknowledged = not self._connection.is_delivered(self._stream_id)


class IncomingNotes:
    """Those of a call that came over the tunnel."""

    __slots__ = ("_connection", "_stream_id", "_times", "_watches")

    def __init__(self, times: CallTimes, connection: Watched, stream_id: int) -> None:
        self._times = times
        self._connection = connection
        self._stream_id = stream_id
        self._watches = False

    def __repr__(self) -> str:
        return f"<IncomingNotes {self._stream_id} {self._times!r}>"

    def got_message(self, now: float) -> None:
        """A message of the request is complete."""
        self._times.received_at = self._times.received_at or now

    def writes_message(self) -> None:
        """A message of the answer is about to be written."""
        if not self._watches:
            self._watches = True
            self._connection.watch_start(self._stream_id, self._times.note_first_left)

    def writes_status(self, now: float) -> bytes:
        """The status is about to be written, the last of all. Returns its `headway-stages`, empty for none."""
        times = self._times
        self.writes_message()
        times.least_way_s = self._connection.least_way_s
        times.will_tell_leaving()
        self._connection.watch_end(self._stream_id, times.note_last_left)
        return encode_times(times, now=now) if times.tells else b""
