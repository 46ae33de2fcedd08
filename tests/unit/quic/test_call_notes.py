from __future__ import annotations

from collections.abc import Callable

import pytest

from proxy.quic.call_notes import IncomingNotes, OutgoingNotes
from proxy.tunnel.clock_sync import ClockOffset
from proxy.tunnel.exchange import CallTimes, FarTimes

STREAM = 4


class Connection:
    """Tells when the test says so."""

    least_way_s = 0.02

    def __init__(self, *, delivered: bool = False) -> None:
        self.starts: list[Callable[[float], None]] = []
        self.ends: list[Callable[[float], None]] = []
        self.delivered = delivered

    def watch_start(self, stream_id: int, on_start: Callable[[float], None]) -> None:
        assert stream_id == STREAM
        self.starts.append(on_start)

    def watch_end(self, stream_id: int, on_end: Callable[[float], None]) -> None:
        assert stream_id == STREAM
        self.ends.append(on_end)

    def is_delivered(self, stream_id: int) -> bool:
        assert stream_id == STREAM
        return self.delivered


class TestOutgoing:
    def notes(self, times: CallTimes, connection: Connection, offset_s: float | None = 7.0) -> OutgoingNotes:
        offset = None if offset_s is None else ClockOffset(offset_s, 0.04)
        return OutgoingNotes(times, connection, STREAM, offset=lambda: offset)

    def test_when_the_first_message_left_and_its_answer_came(self) -> None:
        times, connection = CallTimes(), Connection()
        notes = self.notes(times, connection)
        notes.writes_message()
        notes.writes_message()
        [start] = connection.starts
        start(1.0)
        notes.got_part(2.0)
        notes.got_part(2.5)
        notes.got_message(3.0)
        notes.got_message(4.0)
        notes.got_status(b"8000000;;;1000;;500000", 5.0)
        assert (times.sent_at, times.answer_began_at, times.answered_at, times.ended_at) == (1.0, 2.0, 3.0, 5.0)
        assert times.far == FarTimes(8.0, None, None, 8.001, None, 8.5)
        assert (times.far_ahead_s, times.least_way_s) == (7.0, 0.02)

    def test_a_status_alone_is_the_answer(self) -> None:
        times = CallTimes()
        self.notes(times, Connection(), None).got_status(b"", 5.0)
        assert (times.answer_began_at, times.answered_at, times.ended_at) == (5.0, 5.0, 5.0)
        assert times.far is None
        assert times.far_ahead_s is None

    @pytest.mark.parametrize("delivered", [True, False])
    def test_a_call_that_is_given_up(self, delivered: bool) -> None:
        times = CallTimes()
        self.notes(times, Connection(delivered=delivered)).cancels()
        assert times.unacknowledged is not delivered

    def test_another_attempt_begins_anew(self) -> None:
        times = CallTimes()
        times.received_at = 0.5
        self.notes(times, Connection()).got_status(b"", 5.0)
        notes = self.notes(times, Connection())
        assert (times.received_at, times.answered_at, times.ended_at) == (0.5, 0.0, 0.0)
        assert repr(notes) == "<OutgoingNotes 4 <CallTimes received_at=0.5 sent_at=0 answered_at=0>>"


class TestIncoming:
    def test_when_the_request_came_and_the_answer_left(self) -> None:
        times, connection = CallTimes(tells=True), Connection()
        notes = IncomingNotes(times, connection, STREAM)
        notes.got_message(1.0)
        notes.got_message(2.0)
        notes.writes_message()
        assert notes.writes_status(3.0) == b"1000000;;;;;2000000"
        told: list[float] = []
        times.when_left(lambda: told.append(times.last_left_at))
        [start], [end] = connection.starts, connection.ends
        start(4.0)
        assert told == []
        end(5.0)
        assert told == [5.0]
        assert (times.received_at, times.first_left_at, times.least_way_s) == (1.0, 4.0, 0.02)
        assert repr(notes).startswith("<IncomingNotes 4 <CallTimes received_at=1 ")

    def test_who_does_not_ask_is_not_told(self) -> None:
        connection = Connection()
        assert IncomingNotes(CallTimes(), connection, STREAM).writes_status(3.0) == b""
        assert len(connection.starts) == 1

    def test_where_nobody_tells_of_leaving_nobody_waits_for_it(self) -> None:
        told: list[str] = []
        CallTimes().when_left(lambda: told.append("left"))
        assert told == ["left"]
