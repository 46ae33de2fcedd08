from __future__ import annotations

import pytest

from proxy.tunnel.exchange import Metadata, MetadataValue
from proxy.tunnel.metadata import (
    decode_message,
    decode_metadata,
    encode_message,
    encode_metadata,
    end_to_end,
    is_end_to_end,
)

HOP_BY_HOP = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
    "content-type",
    "content-length",
    "user-agent",
    "priority",
    "grpc-timeout",
    "grpc-encoding",
    "grpc-accept-encoding",
    "grpc-status",
    "grpc-message",
    "grpc-anything-else",
    "headway-token",
    "headway-deadline",
    "headway-anything-else",
    ":path",
    ":status",
]
END_TO_END = [
    "authorization",
    "traceparent",
    "tracestate",
    "baggage",
    "x-traffic-class",
    "x-headway-model",
    "grpcx",
    "te-",
    "grpc-trace-bin",
    "grpc-tags-bin",
    "grpc-status-details-bin",
    "grpc-previous-rpc-attempts",
    "grpc-retry-pushback-ms",
]


@pytest.mark.parametrize("key", HOP_BY_HOP)
def test_what_belongs_to_one_hop_is_dropped(key: str) -> None:
    assert not is_end_to_end(key)
    assert end_to_end([(key, "x"), ("k", "v")]) == (("k", "v"),)
    assert decode_metadata([(key.encode(), b"x"), (b"k", b"v")]) == (("k", "v"),)


@pytest.mark.parametrize("key", END_TO_END)
def test_everything_else_passes(key: str) -> None:
    assert is_end_to_end(key)
    value: MetadataValue = b"v" if key.endswith("-bin") else "v"
    assert end_to_end([(key, value)]) == ((key, value),)


def test_order_and_repetition_stay() -> None:
    metadata: Metadata = (("k", "1"), ("other", ""), ("k", "2"), ("k-bin", b"\x00\xff"), ("k-bin", b""), ("k", "1"))
    assert decode_metadata(encode_metadata(metadata)) == metadata


def test_binary_values_are_written_without_padding() -> None:
    assert encode_metadata((("k-bin", b"\x00\x01"), ("k-bin", b""), ("k-bin", b"\xff\xef\xbe"))) == [
        (b"k-bin", b"AAE"),
        (b"k-bin", b""),
        (b"k-bin", b"/+++"),
    ]


@pytest.mark.parametrize(
    ("raw", "values"),
    [
        (b"AAE", [b"\x00\x01"]),
        (b"AAE=", [b"\x00\x01"]),
        (b"AA", [b"\x00"]),
        (b"AA==", [b"\x00"]),
        (b"", [b""]),
        (b"AAE,AA==,AAEC", [b"\x00\x01", b"\x00", b"\x00\x01\x02"]),
        (b"AAE= , AA", [b"\x00\x01", b"\x00"]),
        (b"not base64!", []),
        (b"A", []),
        (b"AAE===", []),
        (b"AA==AA==", []),
        (b"A\xff", []),
        (b"AAE,not base64!,AA", [b"\x00\x01", b"\x00"]),
    ],
)
def test_binary_values_are_read_padded_unpadded_and_joined(raw: bytes, values: list[bytes]) -> None:
    assert decode_metadata([(b"k-bin", raw)]) == tuple(("k-bin", value) for value in values)


@pytest.mark.parametrize(
    "value",
    ["a\r\nset-cookie: b", "a\nb", "a\rb", "a\x00b", "\tb", "grün", "…", "\x7f", b"gr\xfcn", b"a\r\nb", "\ud800"],
)
def test_a_value_outside_printable_ascii_is_never_written(value: MetadataValue) -> None:
    assert encode_metadata((("k", value), ("l", "v"))) == [(b"l", b"v")]


@pytest.mark.parametrize("raw", [b"a\r\nb", b"a\x00b", "grün".encode(), b"gr\xfcn", b"\x7f", b"\t"])
def test_a_value_outside_printable_ascii_is_never_read(raw: bytes) -> None:
    """grpc refuses to make a call that carries one on."""
    assert decode_metadata([(b"k", raw), (b"l", b"v")]) == (("l", "v"),)


@pytest.mark.parametrize("key", ["", "A", "x y", "x!", "x:y", "x\r\ny", "k\n", "grün", "x/y", ":k"])
def test_a_key_outside_grpc_s_characters_is_neither_written_nor_read(key: str) -> None:
    assert encode_metadata(((key, "v"), ("l", "v"))) == [(b"l", b"v")]
    assert decode_metadata([(key.encode("latin-1"), b"v"), (b"l", b"v")]) == (("l", "v"),)


def test_every_character_of_grpc_s_keys() -> None:
    key = "0123456789abcdefghijklmnopqrstuvwxyz_.-"
    assert decode_metadata(encode_metadata(((key, "v"),))) == ((key, "v"),)


def test_bytes_under_a_text_key_are_text() -> None:
    assert encode_metadata((("k", b"v"),)) == [(b"k", b"v")]


def test_blanks_around_a_value_are_not_part_of_it() -> None:
    assert encode_metadata((("k", "  a b "),)) == [(b"k", b"a b")]


@pytest.mark.parametrize(
    ("message", "raw"),
    [
        ("", b""),
        ("plain text, 100 characters!", b"plain text, 100 characters!"),
        ("100 %", b"100 %25"),
        ("%ZZ", b"%25ZZ"),
        ("a\r\nb\tc", b"a%0D%0Ab%09c"),
        ("grün", b"gr%C3%BCn"),
        ("\U0001f680 lost", b"%F0%9F%9A%80 lost"),
        ("a\x00b\x7f", b"a%00b%7F"),
        (" both ends ", b"%20both ends%20"),
        (" ", b"%20"),
    ],
)
def test_status_messages_are_percent_encoded(message: str, raw: bytes) -> None:
    assert encode_message(message) == raw
    assert decode_message(raw) == message


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"%ZZ", "%ZZ"),
        (b"100%", "100%"),
        (b"%4", "%4"),
        (b"%e2%82%ac", "\u20ac"),
        (b"%FF", "\ufffd"),
        ("grün".encode(), "grün"),
        (b"gr\xfcn", "gr\ufffdn"),
        (b"a+b", "a+b"),
    ],
)
def test_a_badly_encoded_status_message_is_still_text(raw: bytes, message: str) -> None:
    assert decode_message(raw) == message


def test_half_a_surrogate_pair_does_no_harm() -> None:
    raw = encode_message("a\ud800b")
    assert raw == b"a%ED%A0%80b"
    assert decode_message(raw) == "a\ufffd\ufffd\ufffdb"
