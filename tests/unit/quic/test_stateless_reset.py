from __future__ import annotations

from proxy.quic.stateless_reset import (
    FILLER_BYTES,
    SHORTEST_ANSWERED_BYTES,
    SHORTEST_BYTES,
    reset_datagram,
    reset_token,
    shown_token,
)

SECRET = b"secret"
CONNECTION_ID = b"\x01\x02\x03\x04\x05\x06\x07\x08"


def test_a_token_depends_on_the_secret_and_on_the_connection_id() -> None:
    token = reset_token(SECRET, CONNECTION_ID)
    assert token.hex() == "f211c00c8dfb5b4d3378c6a588c3bf3d"
    assert reset_token(SECRET, CONNECTION_ID[::-1]) != token
    assert reset_token(b"another", CONNECTION_ID) != token


def test_a_reset_looks_like_a_packet_with_a_short_header_and_ends_with_the_token() -> None:
    for first in (0x00, 0x7F, 0xFF):
        datagram = reset_datagram(SECRET, CONNECTION_ID, filler=bytes([first]) * FILLER_BYTES)
        assert datagram[0] & 0xC0 == 0x40
        assert datagram[-16:] == reset_token(SECRET, CONNECTION_ID)
        assert shown_token(datagram) == reset_token(SECRET, CONNECTION_ID)


def test_a_reset_is_shorter_than_what_it_answers_so_that_two_ends_fall_silent() -> None:
    datagram = reset_datagram(SECRET, CONNECTION_ID, filler=bytes(FILLER_BYTES))
    assert SHORTEST_BYTES <= len(datagram) < SHORTEST_ANSWERED_BYTES


def test_what_can_be_no_reset() -> None:
    assert shown_token(b"\x40" + bytes(19)) is None  # 20 bytes: one too short
    assert shown_token(b"\x40" + bytes(20)) == bytes(16)
    assert shown_token(b"\xc0" + bytes(40)) is None  # a long header
    assert shown_token(b"") is None
