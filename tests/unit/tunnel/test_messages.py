from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest

from proxy.errors import Code, H3Code, TunnelProtocolError
from proxy.tunnel.messages import DecodedMessage, MessageDecoder, encode_prefix

LIMIT = 1024


def decoder(encoding: str = "identity", *, limit: int = LIMIT) -> MessageDecoder:
    return MessageDecoder(max_message_bytes=limit, encoding=encoding)


def framed(message: bytes, *, flag: int = 0) -> bytes:
    return bytes([flag]) + encode_prefix(len(message))[1:] + message


def test_the_prefix_is_a_flag_and_a_length() -> None:
    assert encode_prefix(0) == b"\x00\x00\x00\x00\x00"
    assert encode_prefix(0x01020304) == b"\x00\x01\x02\x03\x04"
    assert encode_prefix(2**32 - 1) == b"\x00\xff\xff\xff\xff"


def test_messages_split_at_every_byte_boundary() -> None:
    stream = framed(b"first") + framed(b"") + framed(b"and last")
    expected = [DecodedMessage(b"first", 10), DecodedMessage(b"", 5), DecodedMessage(b"and last", 13)]
    for at in range(len(stream) + 1):
        halves = decoder()
        assert halves.feed(stream[:at]) + halves.feed(stream[at:]) == expected
        assert halves.is_between_messages


def test_messages_byte_by_byte() -> None:
    bytewise = decoder()
    stream = framed(b"first") + framed(b"") + framed(b"x")
    found = [
        (index, message.data) for index in range(len(stream)) for message in bytewise.feed(stream[index : index + 1])
    ]
    assert found == [(9, b"first"), (14, b""), (20, b"x")]


def test_where_a_stream_may_end() -> None:
    growing = decoder()
    seen = []
    for data in (b"", b"\x00", b"\x00\x00\x00\x03a", b"bc"):
        growing.feed(data)
        seen.append((growing.is_between_messages, repr(growing)))
    assert seen == [
        (True, "<MessageDecoder prefix 0/5>"),
        (False, "<MessageDecoder prefix 1/5>"),
        (False, "<MessageDecoder message 1/3>"),
        (True, "<MessageDecoder prefix 0/5>"),
    ]


def test_nothing_makes_nothing() -> None:
    assert decoder().feed(b"") == []


def test_a_message_of_exactly_the_limit() -> None:
    assert decoder().feed(framed(bytes(LIMIT))) == [DecodedMessage(bytes(LIMIT), LIMIT + 5)]


def test_a_message_beyond_the_limit_is_refused_at_its_prefix() -> None:
    with pytest.raises(TunnelProtocolError) as caught:
        decoder().feed(encode_prefix(LIMIT + 1))
    assert str(caught.value) == "Received message larger than max (1025 vs. 1024)"
    assert (caught.value.code, caught.value.h3_code) == (Code.RESOURCE_EXHAUSTED, H3Code.REQUEST_CANCELLED)


def test_a_prefix_of_4_gib_with_10_bytes_allocates_nothing() -> None:
    greedy = decoder(limit=256 * 1024 * 1024)
    tracemalloc.start()
    try:
        with pytest.raises(TunnelProtocolError) as caught:
            greedy.feed(b"\x00\xff\xff\xff\xff" + bytes(10))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.code is Code.RESOURCE_EXHAUSTED
    assert str(caught.value) == "Received message larger than max (4294967295 vs. 268435456)"
    assert peak < 64 * 1024


def test_a_prefix_below_the_limit_allocates_no_more_than_came() -> None:
    patient = decoder(limit=256 * 1024 * 1024)
    tracemalloc.start()
    try:
        assert patient.feed(encode_prefix(200 * 1024 * 1024) + bytes(10)) == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert repr(patient) == "<MessageDecoder message 10/209715200>"
    assert peak < 64 * 1024


@pytest.mark.parametrize("flag", [2, 128, 255])
def test_an_unknown_flag(flag: int) -> None:
    with pytest.raises(TunnelProtocolError, match=f"has flag byte {flag}, allowed: 0, 1") as caught:
        decoder("gzip").feed(framed(b"x", flag=flag))
    assert (caught.value.code, caught.value.h3_code) == (Code.INTERNAL, H3Code.MESSAGE_ERROR)


def test_a_compressed_message_without_an_encoding() -> None:
    with pytest.raises(TunnelProtocolError, match="compressed message on a call without grpc-encoding") as caught:
        decoder().feed(framed(gzip.compress(b"x"), flag=1))
    assert caught.value.code is Code.INTERNAL


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
class TestCompression:
    def test_compressed_and_plain_messages_may_mix(self, encoding: str, compress: type[bytes]) -> None:
        packed = compress(b"squeezed" * 100)
        both = decoder(encoding)
        assert both.feed(framed(packed, flag=1) + framed(b"plain")) == [
            DecodedMessage(b"squeezed" * 100, 5 + len(packed)),
            DecodedMessage(b"plain", 10),
        ]

    def test_the_limit_holds_for_what_comes_out(self, encoding: str, compress: type[bytes]) -> None:
        assert decoder(encoding).feed(framed(compress(bytes(LIMIT)), flag=1))[0].data == bytes(LIMIT)
        with pytest.raises(
            TunnelProtocolError, match=r"^Received message larger than max \(1025 vs\. 1024\)$"
        ) as caught:
            decoder(encoding).feed(framed(compress(bytes(LIMIT + 1)), flag=1))
        assert caught.value.code is Code.RESOURCE_EXHAUSTED

    def test_a_bomb_is_not_unpacked(self, encoding: str, compress: type[bytes]) -> None:
        bomb = framed(compress(bytes(50_000_000)), flag=1)
        target = decoder(encoding, limit=100_000)
        tracemalloc.start()
        try:
            with pytest.raises(TunnelProtocolError, match="larger than max"):
                target.feed(bomb)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 1_000_000

    def test_a_message_that_is_cut_off(self, encoding: str, compress: type[bytes]) -> None:
        with pytest.raises(TunnelProtocolError, match=f"message ends before its {encoding} data does"):
            decoder(encoding).feed(framed(compress(b"squeezed")[:-1], flag=1))

    def test_a_message_that_goes_on(self, encoding: str, compress: type[bytes]) -> None:
        with pytest.raises(TunnelProtocolError, match=f"message goes on after its {encoding} data"):
            decoder(encoding).feed(framed(compress(b"squeezed") + b"more", flag=1))

    def test_an_empty_message_is_no_compressed_one(self, encoding: str, compress: type[bytes]) -> None:
        with pytest.raises(TunnelProtocolError, match=f"message ends before its {encoding} data does"):
            decoder(encoding).feed(framed(b"", flag=1))
        assert decoder(encoding).feed(framed(compress(b""), flag=1))[0].data == b""

    def test_a_message_that_is_something_else(self, encoding: str, compress: type[bytes]) -> None:
        with pytest.raises(TunnelProtocolError, match=f"^message is not valid {encoding}: ") as caught:
            decoder(encoding).feed(framed(b"not compressed at all", flag=1))
        assert caught.value.code is Code.INTERNAL
