"""What HTTP/3 puts on the connection's own streams and makes of the peer's, in bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from aioquic.quic.events import StreamDataReceived

from proxy.errors import TunnelProtocolError
from proxy.quic.http3 import GrpcHttp3
from proxy.tunnel.metadata import Headers
from tests.unit.quic.pair import Pair

SETTINGS = bytes.fromhex("00 04 09 0100 0700 0680010000")
"""Stream type 0; SETTINGS of 9 bytes: table capacity 0, blocked streams 0, field sections of at most 65536 bytes."""
HEADERS: Headers = [(b":method", b"POST"), (b"x-never-seen-before", b"value")]


@pytest.fixture
def pair(certs: Path) -> Pair:
    return Pair(certs)


def hear(http: GrpcHttp3, stream_id: int, data: bytes) -> None:
    http.handle_event(StreamDataReceived(data=data, end_stream=False, stream_id=stream_id))


def test_our_settings(pair: Pair) -> None:
    GrpcHttp3(pair.client.connection)
    GrpcHttp3(pair.server.connection)
    pair.link.run_for(0.1)
    assert bytes(pair.client.data[3]) == SETTINGS
    assert bytes(pair.server.data[2]) == SETTINGS + bytes.fromhex("0d 01 08")  # a client also lets itself be pushed to
    assert {bytes(pair.client.data[7]), bytes(pair.client.data[11])} == {b"\x02", b"\x03"}  # QPACK's two


def test_the_dynamic_table_is_never_used_although_the_peer_offers_one(pair: Pair) -> None:
    http = GrpcHttp3(pair.client.connection)
    hear(http, 3, bytes.fromhex("00 04 05 01 5000 07 10"))  # 4096 bytes, 16 blocked streams
    assert http.received_settings == {1: 4096, 7: 16}
    frames = {http.headers_frame(4 * number, HEADERS) for number in range(50)}
    assert len(frames) == 1
    [frame] = frames
    assert frame[0] == 1
    assert frame[2:4] == b"\0\0"  # required insert count and base: no entry of a table (RFC 9204 section 4.5.1)
    pair.link.run_for(0.1)
    assert b"\x02" in {bytes(data) for data in pair.server.data.values()}  # the encoder's stream stays empty


def test_a_header_section_there_and_back(pair: Pair) -> None:
    here, there = GrpcHttp3(pair.client.connection), GrpcHttp3(pair.server.connection)
    section = here.headers_frame(0, HEADERS)[2:]
    assert there.read_headers(0, section) == HEADERS
    assert there.read_headers(400, section) == HEADERS  # whatever became of other streams


@pytest.mark.parametrize("section", [b"", b"\0", b"\xff\xff\xff", bytes.fromhex("0200 80"), bytes.fromhex("0000 7f")])
def test_a_section_that_is_none(pair: Pair, section: bytes) -> None:
    http = GrpcHttp3(pair.server.connection)
    with pytest.raises(TunnelProtocolError, match="can't be decoded"):
        http.read_headers(0, section)
    assert http.read_headers(4, GrpcHttp3(pair.client.connection).headers_frame(4, HEADERS)[2:]) == HEADERS


def test_a_message_is_one_frame_behind_what_comes_before(pair: Pair) -> None:
    http = GrpcHttp3(pair.client.connection)
    stream_id = pair.client.connection.open_stream()
    http.send_message(stream_id, b"abc", now=pair.clock.now(), before=b"first")
    http.send_message(stream_id, bytes(5000), now=pair.clock.now(), end_stream=True)
    pair.link.run_for(0.1)
    expected = (
        b"first" + bytes.fromhex("00 08 00 00000003") + b"abc" + bytes.fromhex("00 538d 00 00001388") + bytes(5000)
    )
    assert bytes(pair.server.data[0]) == expected
    assert pair.server.ended == {0}


def test_goaway_is_sent_on_the_control_stream(pair: Pair) -> None:
    http = GrpcHttp3(pair.server.connection)
    http.send_goaway(0x1234)
    pair.link.run_for(0.1)
    assert bytes(pair.client.data[3]) == SETTINGS + bytes.fromhex("07 02 5234")


def test_goaway_is_heard_from_either_end(pair: Pair) -> None:
    for connection, stream_id in ((pair.client.connection, 3), (pair.server.connection, 2)):
        http = GrpcHttp3(connection)
        assert http.goaway_id is None
        hear(http, stream_id, SETTINGS + bytes.fromhex("07 01 08"))
        assert http.goaway_id == 8


def test_goaway_is_found_among_other_frames_however_they_are_cut(pair: Pair) -> None:
    http = GrpcHttp3(pair.client.connection)
    other = bytes.fromhex("21 4064") + bytes([7]) * 100  # of a reserved type, and full of what looks like GOAWAY
    seen = []
    for byte in SETTINGS + other + bytes.fromhex("07 02 4010") + other + bytes.fromhex("07 01 0c"):
        hear(http, 3, bytes([byte]))
        seen.append(http.goaway_id)
    assert seen[-1] == 12
    assert {number for number in seen if number is not None} == {16, 12}


def test_an_endless_goaway_is_not_waited_for(pair: Pair) -> None:
    http = GrpcHttp3(pair.client.connection)
    hear(http, 3, SETTINGS + bytes.fromhex("07 ffffffffffffffff") + bytes(1000))
    hear(http, 3, bytes(1000))
    assert http.goaway_id is None


def test_what_looks_like_goaway_on_another_stream_is_none(pair: Pair) -> None:
    http = GrpcHttp3(pair.client.connection)
    hear(http, 3, SETTINGS)
    hear(http, 7, b"\x21\x07\x01\x08")  # a reserved stream type (RFC 9114 section 6.2.3)
    assert http.goaway_id is None


def test_push_is_accepted_from_nobody(pair: Pair) -> None:
    http = GrpcHttp3(pair.server.connection)
    hear(http, 2, SETTINGS + bytes.fromhex("0d 01 10"))
    assert pair.server.connection.is_ready
    hear(http, 2, bytes.fromhex("0d 01 08"))  # a maximum that shrinks breaks RFC 9114 section 7.2.7
    assert not pair.server.connection.is_ready
