"""Which metadata is end-to-end, and how it is written in header fields.

Rules: PROTOCOL-HTTP2.md ("Custom-Metadata", "Status-Message") and RFC 9114 section 4.2. Field names and values are
bytes on the wire.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from proxy.tunnel.exchange import Metadata, MetadataValue

Headers = list[tuple[bytes, bytes]]

_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "host",
        "content-type",
    }
    | {"content-length", "user-agent", "priority"}
)
_PASSING_GRPC = frozenset(
    {
        "grpc-trace-bin",
        "grpc-tags-bin",
        "grpc-status-details-bin",
        "grpc-previous-rpc-attempts",
        "grpc-retry-pushback-ms",
    }
)
_KEY = re.compile(r"[0-9a-z_.\-]+\Z")
_NOT_IN_MESSAGE = re.compile(rb"[^\x20-\x24\x26-\x7e]|^\x20|\x20$")
"""Spaces at the ends too: gRPC lets them stand, but a header field that begins or ends with one is malformed (RFC 9114
section 10.3, RFC 9110 section 5.5)."""


_KNOWN_KEYS = 1024
"""Keys whose judgement is kept: those of all clients and backends together are few, unless somebody makes them up."""


@lru_cache(_KNOWN_KEYS)
def is_end_to_end(key: str) -> bool:
    """True for metadata that travels from the caller to the callee.

    `grpc-` is gRPC's and `headway-` is the tunnel's.
    """
    if key.startswith("grpc-"):
        return key in _PASSING_GRPC
    return not (key in _HOP_BY_HOP or key.startswith((":", "headway-")))


def end_to_end(metadata: Iterable[tuple[str, MetadataValue]]) -> Metadata:
    """What is left of metadata once everything hop-by-hop is dropped."""
    return tuple((key, value) for key, value in metadata if is_end_to_end(key))


@lru_cache(_KNOWN_KEYS)
def _field_name(key: str) -> bytes | None:
    """A metadata key as the name of a header field; None if HTTP does not allow it."""
    return None if _KEY.match(key) is None else key.encode()


@lru_cache(_KNOWN_KEYS)
def _metadata_key(name: bytes) -> str | None:
    """The name of a header field as a metadata key; None if it is hop-by-hop, or if gRPC does not allow it."""
    key = name.decode("latin-1")
    return key if is_end_to_end(key) and _KEY.match(key) is not None else None


def encode_metadata(metadata: Metadata) -> Headers:
    """Header fields. Keys and values that HTTP does not allow are dropped, never written raw."""
    headers: Headers = []
    for key, value in metadata:
        name = _field_name(key)
        if name is None:
            continue
        if isinstance(value, bytes):
            if key.endswith("-bin"):
                headers.append((name, base64.b64encode(value).rstrip(b"=")))
                continue
            text = value.decode("latin-1")
        else:
            text = value
        if text.isascii() and text.isprintable():
            headers.append((name, text.strip().encode()))
    return headers


def decode_metadata(headers: Iterable[tuple[bytes, bytes]]) -> Metadata:
    """End-to-end metadata of a header section.

    What gRPC does not allow is dropped, as grpc refuses a whole call that carries it on: other characters in a key than
    its own, in a value than printable ASCII, a `-bin` value that is not base64. Commas separate several `-bin` values.
    """
    metadata: list[tuple[str, MetadataValue]] = []
    for raw_key, raw_value in headers:
        key = _metadata_key(raw_key)
        if key is None:
            continue
        if not key.endswith("-bin"):
            text = raw_value.decode("latin-1")
            if text.isascii() and text.isprintable():
                metadata.append((key, text))
            continue
        for part in raw_value.split(b","):
            value = part.strip()
            try:
                metadata.append((key, base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)))
            except binascii.Error:
                continue
    return tuple(metadata)


def encode_message(message: str) -> bytes:
    """`grpc-message`: UTF-8 with everything outside printable ASCII, and `%`, percent-encoded."""
    raw = message.encode("utf-8", "surrogatepass")
    return _NOT_IN_MESSAGE.sub(lambda match: b"%%%02X" % match.group()[0], raw)


def decode_message(value: bytes) -> str:
    """`grpc-message` back to text.

    Never fails: what is not percent-encoding stays as it is, bad UTF-8 becomes U+FFFD.
    """
    return unquote_to_bytes(value).decode("utf-8", "replace")
