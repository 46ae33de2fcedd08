"""The send side of a stream, driven by hand and by hypothesis: no byte lost, doubled or moved, whatever the network."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from aioquic.quic.packet_builder import QuicDeliveryState
from aioquic.quic.stream import QuicStream
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from proxy.quic.send_buffer import SendBuffer

ACKED, LOST = QuicDeliveryState.ACKED, QuicDeliveryState.LOST


class Notices:
    """What the buffer has told its connection."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        stream = QuicStream(stream_id=4)
        self.buffer = SendBuffer(
            stream,
            4,
            on_ready=lambda _: self.heard.append("ready"),
            on_signal=lambda _: self.heard.append("signal"),
            on_finished=lambda _: self.heard.append("finished"),
        )
        stream.sender = self.buffer

    def take(self) -> list[str]:
        heard, self.heard = self.heard, []
        return heard


def frames(buffer: SendBuffer, size: int, max_offset: int | None = None) -> list[tuple[int, bytes, bool]]:
    """Every frame that the buffer has to send now."""
    out = []
    while (frame := buffer.get_frame(size, max_offset)) is not None:
        out.append((frame.offset, frame.data, frame.fin))
    return out


def test_frames_cut_across_the_chunks_that_were_written() -> None:
    buffer = Notices().buffer
    for chunk in (b"ab", b"cdefg", b"", b"h"):
        buffer.write(chunk)
    buffer.write(b"ij", end_stream=True)
    assert frames(buffer, 3) == [(0, b"abc", False), (3, b"def", False), (6, b"ghi", False), (9, b"j", True)]
    assert buffer.buffer_is_empty


def test_a_lone_end_is_a_frame_without_bytes() -> None:
    buffer = Notices().buffer
    buffer.write(b"ab")
    assert frames(buffer, 10) == [(0, b"ab", False)]
    buffer.write(b"", end_stream=True)
    assert frames(buffer, 0) == [(2, b"", True)]
    assert buffer.get_frame(10) is None


def test_a_packet_without_room_for_the_header_gets_nothing() -> None:
    buffer = Notices().buffer
    buffer.write(b"ab", end_stream=True)
    assert buffer.get_frame(-1) is None
    assert not buffer.buffer_is_empty


def test_flow_control_holds_new_bytes_back_and_not_what_is_sent_again() -> None:
    buffer = Notices().buffer
    buffer.write(b"abcdefgh", end_stream=True)
    assert frames(buffer, 3, max_offset=5) == [(0, b"abc", False), (3, b"de", False)]
    assert not buffer.buffer_is_empty
    buffer.on_data_delivery(LOST, 0, 3, False)
    assert frames(buffer, 3, max_offset=5) == [(0, b"abc", False)]
    assert frames(buffer, 3, max_offset=8) == [(5, b"fgh", True)]


def test_unsent_bytes_are_those_never_in_a_packet() -> None:
    buffer = Notices().buffer
    buffer.write(b"abcdef")
    assert buffer.unsent_bytes == 6
    buffer.get_frame(4)
    assert buffer.unsent_bytes == 2
    buffer.on_data_delivery(LOST, 0, 4, False)
    assert buffer.unsent_bytes == 2


def test_pending_bytes_are_those_to_send_and_to_send_again() -> None:
    buffer = Notices().buffer
    buffer.write(b"abcdef")
    buffer.get_frame(4)
    assert buffer.pending_bytes == 2
    buffer.on_data_delivery(LOST, 0, 4, False)
    assert buffer.pending_bytes == 6
    buffer.get_frame(3)
    assert (buffer.next_offset, buffer.pending_bytes) == (3, 3)
    buffer.reset(0x10C)
    assert buffer.pending_bytes == 0


def test_it_knows_what_was_written_and_what_has_arrived() -> None:
    buffer = Notices().buffer
    buffer.write(b"abcdef")
    frames(buffer, 3)
    buffer.on_data_delivery(ACKED, 3, 6, False)
    assert (buffer.written_bytes, buffer.acknowledged_bytes) == (6, 0)
    buffer.on_data_delivery(ACKED, 0, 3, False)
    assert (buffer.written_bytes, buffer.acknowledged_bytes) == (6, 6)


def test_several_pieces_are_told_of_once() -> None:
    notices = Notices()
    buffer = notices.buffer
    buffer.write_chunks((b"ab", b"", b"cd"), end_stream=True)
    assert notices.take() == ["ready"]
    assert frames(buffer, 3) == [(0, b"abc", False), (3, b"d", True)]
    with pytest.raises(RuntimeError, match="after FIN"):
        buffer.write_chunks((b"e",))


def test_it_tells_the_connection_what_there_is_to_do() -> None:
    notices = Notices()
    buffer = notices.buffer
    buffer.write(b"")
    assert notices.take() == []
    buffer.write(b"abc", end_stream=True)
    assert notices.take() == ["ready"]
    buffer.get_frame(10)
    buffer.on_data_delivery(LOST, 0, 3, True)
    assert notices.take() == ["ready"]
    buffer.get_frame(10)
    buffer.on_data_delivery(ACKED, 0, 3, True)
    assert notices.take() == ["finished"]
    assert buffer.is_finished


def test_it_is_finished_once_the_end_and_every_byte_are_acknowledged() -> None:
    notices = Notices()
    buffer = notices.buffer
    buffer.write(b"abcdef", end_stream=True)
    frames(buffer, 3)
    finished = []
    for start, stop, fin in ((3, 6, True), (0, 3, False)):
        buffer.on_data_delivery(ACKED, start, stop, fin)
        finished.append(buffer.is_finished)
    assert finished == [False, True]
    assert notices.take() == ["ready", "finished"]


def test_a_reset_drops_what_waits_and_is_sent_until_it_is_acknowledged() -> None:
    notices = Notices()
    buffer = notices.buffer
    buffer.write(b"abcdef")
    buffer.get_frame(2)
    buffer.reset(0x10C)
    assert notices.take() == ["ready", "signal"]
    assert (buffer.buffer_is_empty, buffer.reset_pending) == (True, True)
    buffer.write(b"more")  # the caller does not know yet
    buffer.on_data_delivery(LOST, 0, 2, False)
    assert notices.take() == []
    frame = buffer.get_reset_frame()
    assert (frame.error_code, frame.final_size) == (0x10C, 2)
    buffer.on_reset_delivery(LOST)
    assert (notices.take(), buffer.reset_pending) == (["signal"], True)
    buffer.get_reset_frame()
    buffer.on_reset_delivery(ACKED)
    assert (notices.take(), buffer.is_finished) == (["finished"], True)


def test_nothing_can_follow_the_end() -> None:
    buffer = Notices().buffer
    buffer.write(b"a", end_stream=True)
    with pytest.raises(RuntimeError, match="after FIN"):
        buffer.write(b"b")


@given(st.lists(st.binary(max_size=40), max_size=20), st.integers(1, 50))
def test_what_is_written_is_what_is_sent(chunks: list[bytes], size: int) -> None:
    buffer = Notices().buffer
    for chunk in chunks:
        buffer.write(chunk)
    buffer.write(b"", end_stream=True)
    out = frames(buffer, size)
    assert b"".join(data for _, data, _ in out) == b"".join(chunks)
    assert [fin for _, _, fin in out] == [False] * (len(out) - 1) + [True]


@dataclass(frozen=True)
class Sent:
    start: int
    data: bytes
    fin: bool


class Exchange(RuleBasedStateMachine):
    """A sender and what a receiver makes of its frames, with the network's choices left to hypothesis."""

    def __init__(self) -> None:
        super().__init__()
        self.notices = Notices()
        self.buffer = self.notices.buffer
        self.written = bytearray()
        self.ended = False
        self.in_flight: list[Sent] = []
        self.received: dict[int, int] = {}
        self.received_end: int | None = None
        self.acknowledged = 0

    @precondition(lambda self: not self.ended)
    @rule(data=st.binary(max_size=30), end=st.booleans())
    def write(self, data: bytes, end: bool) -> None:
        self.buffer.write(data, end_stream=end)
        self.written += data
        self.ended = end

    @rule(size=st.integers(0, 40), credit=st.integers(0, 200))
    def send(self, size: int, credit: int) -> None:
        frame = self.buffer.get_frame(size, max(credit, self.buffer.highest_offset))
        if frame is not None:
            self.in_flight.append(Sent(frame.offset, frame.data, frame.fin))

    @precondition(lambda self: self.in_flight)
    @rule(choice=st.randoms(use_true_random=False))
    def arrive(self, choice: object) -> None:
        """Delivered and acknowledged, in any order."""
        sent = self.in_flight.pop(choice.randrange(len(self.in_flight)))  # type: ignore[attr-defined]
        self.receive(sent)
        self.acknowledged += len(sent.data)
        self.buffer.on_data_delivery(ACKED, sent.start, sent.start + len(sent.data), sent.fin)

    @precondition(lambda self: self.in_flight)
    @rule(choice=st.randoms(use_true_random=False), after_all=st.booleans())
    def declare_lost(self, choice: object, after_all: bool) -> None:
        """Lost, or only slow and taken for lost."""
        sent = self.in_flight.pop(choice.randrange(len(self.in_flight)))  # type: ignore[attr-defined]
        if after_all:
            self.receive(sent)
        self.buffer.on_data_delivery(LOST, sent.start, sent.start + len(sent.data), sent.fin)

    def receive(self, sent: Sent) -> None:
        for offset, byte in enumerate(sent.data, sent.start):
            assert self.received.setdefault(offset, byte) == byte
        if sent.fin:
            assert self.received_end in (None, sent.start + len(sent.data))
            self.received_end = sent.start + len(sent.data)

    @invariant()
    def no_byte_is_invented_or_moved(self) -> None:
        assert all(self.written[offset] == byte for offset, byte in self.received.items())

    @invariant()
    def what_is_pending_is_neither_in_flight_nor_acknowledged(self) -> None:
        in_flight = sum(len(sent.data) for sent in self.in_flight)
        assert self.buffer.pending_bytes == len(self.written) - in_flight - self.acknowledged

    @invariant()
    def it_is_empty_only_when_nothing_waits(self) -> None:
        unknown = self.ended and self.received_end is None and not any(sent.fin for sent in self.in_flight)
        if self.buffer.unsent_bytes or unknown:
            assert not self.buffer.buffer_is_empty

    def teardown(self) -> None:
        """With a network that works at last, everything arrives and the stream finishes once."""
        if not self.ended:
            self.write(b"", True)
        while self.in_flight or not self.buffer.buffer_is_empty:
            while (frame := self.buffer.get_frame(7)) is not None:
                self.in_flight.append(Sent(frame.offset, frame.data, frame.fin))
            for sent in self.in_flight:
                self.receive(sent)
                self.buffer.on_data_delivery(ACKED, sent.start, sent.start + len(sent.data), sent.fin)
            self.in_flight.clear()
        assert bytes(self.received[offset] for offset in range(len(self.written))) == bytes(self.written)
        assert self.received_end == len(self.written)
        assert self.buffer.is_finished
        assert self.notices.heard.count("finished") == 1


TestExchange = Exchange.TestCase
