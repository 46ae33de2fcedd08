"""gRPC's length-prefixed messages (PROTOCOL-HTTP2.md, "Length-Prefixed-Message").

One flag byte, four length bytes, the message.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

from proxy.errors import Code, H3Code, TunnelProtocolError

PREFIX_BYTES = 5
_GZIP_WINDOW_BITS = 16 + zlib.MAX_WBITS
_WINDOW_BITS = {"gzip": _GZIP_WINDOW_BITS, "deflate": zlib.MAX_WBITS}
KNOWN_ENCODINGS = ("identity", *_WINDOW_BITS)


def encode_prefix(message_bytes: int) -> bytes:
    """The five bytes in front of an uncompressed message."""
    return b"\x00" + message_bytes.to_bytes(4, "big")


class DecodedMessage(NamedTuple):
    """A message and what it took on the wire, prefix included."""

    data: bytes
    wire_bytes: int
    due_at: float = 0.0
    """When its answer is due, seconds on the sender's clock; 0.0 where that has not been said."""


class MessageDecoder:
    """Cuts a stream of bytes into messages.

    `max_message_bytes` bounds a message before and after decompression; a longer one is refused when its prefix is
    read, before anything is kept for it. `encoding` is the peer's `grpc-encoding`.
    """

    def __init__(self, *, max_message_bytes: int, encoding: str = "identity") -> None:
        self._max_message_bytes = max_message_bytes
        self._encoding = encoding
        self._parts: list[bytes] = []
        self._have = 0
        self._need = PREFIX_BYTES
        self._in_prefix = True
        self._compressed = False

    def __repr__(self) -> str:
        what = "prefix" if self._in_prefix else "message"
        return f"<MessageDecoder {what} {self._have}/{self._need}>"

    @property
    def is_between_messages(self) -> bool:
        """True where the stream may end."""
        return self._in_prefix and self._have == 0

    def feed(self, data: bytes) -> list[DecodedMessage]:
        """Take what arrived, return the messages it completes.

        Raises `TunnelProtocolError`: RESOURCE_EXHAUSTED beyond the limit, INTERNAL for a prefix or a compressed message
        that makes no sense.
        """
        messages: list[DecodedMessage] = []
        at = 0
        size = len(data)
        while True:
            missing = self._need - self._have
            if size - at < missing:
                if size > at:
                    self._parts.append(data[at:] if at else data)
                    self._have += size - at
                return messages
            if self._parts:
                self._parts.append(data[at : at + missing])
                chunk = b"".join(self._parts)
                self._parts.clear()
            else:
                chunk = data[at : at + missing]
            at += missing
            self._have = 0
            if self._in_prefix:
                self._read_prefix(chunk)
                if self._need:
                    continue
                chunk = b""
            messages.append(self._finish(chunk))

    def _read_prefix(self, prefix: bytes) -> None:
        flag = prefix[0]
        length = int.from_bytes(prefix[1:5], "big")
        if flag > 1:
            raise TunnelProtocolError(f"message prefix has flag byte {flag}, allowed: 0, 1")
        if flag and self._encoding == "identity":
            raise TunnelProtocolError("compressed message on a call without grpc-encoding")
        if length > self._max_message_bytes:
            raise _too_large(length, self._max_message_bytes)
        self._compressed = bool(flag)
        self._in_prefix = False
        self._need = length

    def _finish(self, chunk: bytes) -> DecodedMessage:
        wire_bytes = PREFIX_BYTES + len(chunk)
        self._in_prefix = True
        self._need = PREFIX_BYTES
        if self._compressed:
            chunk = self._decompress(chunk)
        return DecodedMessage(chunk, wire_bytes)

    def _decompress(self, chunk: bytes) -> bytes:
        inflater = zlib.decompressobj(_WINDOW_BITS[self._encoding])
        try:
            data = inflater.decompress(chunk, self._max_message_bytes + 1)
        except zlib.error as error:
            raise TunnelProtocolError(f"message is not valid {self._encoding}: {error}") from error
        if len(data) > self._max_message_bytes:
            raise _too_large(len(data), self._max_message_bytes)
        if not inflater.eof:
            raise TunnelProtocolError(f"message ends before its {self._encoding} data does")
        if inflater.unused_data:
            raise TunnelProtocolError(f"message goes on after its {self._encoding} data")
        return data


def _too_large(size: int, limit: int) -> TunnelProtocolError:
    # The wording of grpc's own refusal, which users and their tests know.
    return TunnelProtocolError(
        f"Received message larger than max ({size} vs. {limit})",
        code=Code.RESOURCE_EXHAUSTED,
        h3_code=H3Code.REQUEST_CANCELLED,
    )
