import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import H3Code, TunnelProtocolError
from proxy.tunnel.frames import (
    DATA,
    DEADLINE,
    HEADERS,
    FrameReader,
    deadline_frame,
    encode_varint,
    frame_head,
    read_deadline,
)

GREASE = 0x21
"""Reserved to be ignored (RFC 9114 section 7.2.8)."""


def frame(frame_type: int, payload: bytes) -> bytes:
    return frame_head(frame_type, len(payload)) + payload


@pytest.mark.parametrize(
    ("value", "encoded"),
    [  # RFC 9000 appendix A.1
        (37, "25"),
        (15293, "7bbd"),
        (494878333, "9d7f3e7d"),
        (151288809941952652, "c2197c5eff14e88c"),
    ],
)
def test_varints_of_the_rfc(value: int, encoded: str) -> None:
    assert encode_varint(value).hex() == encoded


def test_frames_in_one_piece() -> None:
    reader = FrameReader(max_header_bytes=100)

    assert reader.feed(frame(HEADERS, b"head") + frame(DATA, b"body") + frame(HEADERS, b"tail")) == [
        (HEADERS, b"head"),
        (DATA, b"body"),
        (HEADERS, b"tail"),
    ]
    assert reader.is_between_frames


@pytest.mark.parametrize("at", range(1, 14))
def test_split_anywhere(at: int) -> None:
    stream = frame(HEADERS, b"head") + frame(DATA, b"body") + frame(GREASE, b"")
    reader = FrameReader(max_header_bytes=100)
    frames = reader.feed(stream[:at]) + reader.feed(stream[at:])

    assert frames[0] == (HEADERS, b"head")
    assert b"".join(payload for kind, payload in frames if kind == DATA) == b"body"
    assert reader.is_between_frames


@pytest.mark.parametrize("at", range(1, 22))
def test_a_deadline_comes_whole_in_front_of_its_message(at: int) -> None:
    stream = frame(HEADERS, b"head") + deadline_frame(1234.567891) + frame(DATA, b"body")
    reader = FrameReader(max_header_bytes=100)
    frames = reader.feed(stream[:at]) + reader.feed(stream[at:])

    kinds = [kind for kind, _ in frames]
    assert kinds[:2] == [HEADERS, DEADLINE]
    assert set(kinds[2:]) == {DATA}
    assert read_deadline(frames[1][1]) == pytest.approx(1234.567891, abs=1e-9)


@pytest.mark.parametrize("payload", [b"", b"\xc0\x00", b"\x05\x05", bytes(8)])
def test_a_deadline_that_makes_no_sense_says_nothing(payload: bytes) -> None:
    assert read_deadline(payload) == 0.0


def test_a_deadline_that_is_too_long_is_skipped() -> None:
    reader = FrameReader(max_header_bytes=100)
    assert reader.feed(frame(DEADLINE, bytes(9)) + frame(DEADLINE, b"") + frame(DATA, b"body")) == [(DATA, b"body")]
    assert reader.is_between_frames


def test_data_comes_as_it_arrives_and_headers_whole() -> None:
    reader = FrameReader(max_header_bytes=100)

    assert reader.feed(frame_head(DATA, 10) + b"12345") == [(DATA, b"12345")]
    assert repr(reader) == "<FrameReader frame 0x0 left=5 buffered=0>"
    assert not reader.is_between_frames
    assert reader.feed(b"67890" + frame_head(HEADERS, 4) + b"he") == [(DATA, b"67890")]
    assert reader.feed(b"ad") == [(HEADERS, b"head")]
    assert repr(reader) == "<FrameReader between frames buffered=0>"


def test_empty_frames() -> None:
    reader = FrameReader(max_header_bytes=100)

    assert reader.feed(frame(DATA, b"") + frame(HEADERS, b"") + frame(GREASE, b"")) == [(HEADERS, b"")]
    assert reader.is_between_frames


def test_unknown_frames_are_skipped() -> None:
    reader = FrameReader(max_header_bytes=100)

    assert reader.feed(frame(GREASE, bytes(50)) + frame(DATA, b"x")) == [(DATA, b"x")]


@pytest.mark.parametrize("frame_type", [0x2, 0x3, 0x4, 0x5, 0x6, 0x7, 0x8, 0x9, 0xD])
def test_frames_that_may_not_stand_here(frame_type: int) -> None:
    with pytest.raises(TunnelProtocolError, match=f"frame type 0x{frame_type:x} on a request stream") as error:
        FrameReader(max_header_bytes=100).feed(frame(frame_type, b""))

    assert error.value.h3_code is H3Code.FRAME_UNEXPECTED


def test_a_header_section_that_is_too_long_is_refused_before_it_arrives() -> None:
    with pytest.raises(TunnelProtocolError, match="a header section of 101 bytes exceeds 100") as error:
        FrameReader(max_header_bytes=100).feed(frame_head(HEADERS, 101))

    assert error.value.h3_code is H3Code.EXCESSIVE_LOAD


@given(
    frames=st.lists(st.tuples(st.sampled_from([DATA, HEADERS, GREASE]), st.binary(max_size=300)), max_size=8),
    cuts=st.lists(st.integers(1, 40), max_size=60),
)
def test_any_stream_in_any_pieces(frames: list[tuple[int, bytes]], cuts: list[int]) -> None:
    stream = b"".join(frame(kind, payload) for kind, payload in frames)
    reader = FrameReader(max_header_bytes=1000)
    got: list[tuple[int, bytes]] = []
    at = 0
    for size in cuts:
        got += reader.feed(stream[at : at + size])
        at += size
    got += reader.feed(stream[at:])

    assert [payload for kind, payload in got if kind == HEADERS] == [p for kind, p in frames if kind == HEADERS]
    assert b"".join(p for kind, p in got if kind == DATA) == b"".join(p for kind, p in frames if kind == DATA)
    assert reader.is_between_frames
