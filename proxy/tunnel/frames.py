"""HTTP/3's frames on a request stream (RFC 9114 sections 4.1 and 7): a type, a length, a payload.

HEADERS and DATA mean something here, and one of headway's own: DEADLINE, in front of a message of a streamed request,
says when the answer to that message is due. Frames of unknown types are skipped (section 9), as that one is by other
peers; those that may not stand on a request stream end it. Section 8 would have them end the connection, which other
calls share, so that is left to the peer.
"""

from __future__ import annotations

from proxy.errors import Code, H3Code, TunnelProtocolError

DATA = 0x0
HEADERS = 0x1
DEADLINE = 0x3D1
"""A type that nobody has registered. Its payload is a time, a variable-length integer: microseconds on the proxy's
monotonic clock, as in `headway-deadline`."""
_FORBIDDEN = frozenset({0x2, 0x3, 0x4, 0x5, 0x6, 0x7, 0x8, 0x9, 0xD})
"""CANCEL_PUSH, SETTINGS, PUSH_PROMISE, GOAWAY, MAX_PUSH_ID, and HTTP/2's that HTTP/3 reserves (section 7.2.8)."""
_WHOLE = frozenset({HEADERS, DEADLINE})
_SKIPPED = 0x21
"""A type that is reserved for meaning nothing (section 7.2.8)."""
VARINT_BYTES = 8
"""The longest variable-length integer."""
_ONE_BYTE, _TWO_BYTES, _FOUR_BYTES = 1 << 6, 1 << 14, 1 << 30


def encode_varint(value: int) -> bytes:
    """QUIC's variable-length integer (RFC 9000 section 16)."""
    if value < _ONE_BYTE:
        return value.to_bytes(1, "big")
    if value < _TWO_BYTES:
        return (value | 0x4000).to_bytes(2, "big")
    if value < _FOUR_BYTES:
        return (value | 0x80000000).to_bytes(4, "big")
    return (value | 0xC000000000000000).to_bytes(8, "big")


def frame_head(frame_type: int, length: int) -> bytes:
    """What stands in front of a frame's payload."""
    return encode_varint(frame_type) + encode_varint(length)


def deadline_frame(at: float) -> bytes:
    """A DEADLINE frame for a time in seconds."""
    payload = encode_varint(max(0, round(at * 1e6)))
    return frame_head(DEADLINE, len(payload)) + payload


def read_deadline(payload: bytes) -> float:
    """The time in a DEADLINE frame, seconds on the sender's clock; 0.0 if it is not readable."""
    time_us, end = _read_varint(payload, 0, len(payload))
    return time_us / 1e6 if end == len(payload) else 0.0


class FrameReader:
    """Cuts a request stream into frames: DATA come in the pieces in which they arrive, the others whole."""

    __slots__ = ("_buffer", "_left", "_max_header_bytes", "_type")

    def __init__(self, *, max_header_bytes: int) -> None:
        self._max_header_bytes = max_header_bytes
        self._buffer = b""
        self._type = -1
        self._left = 0

    def __repr__(self) -> str:
        where = "between frames" if self._type < 0 else f"frame 0x{self._type:x} left={self._left}"
        return f"<FrameReader {where} buffered={len(self._buffer)}>"

    @property
    def is_between_frames(self) -> bool:
        """True where the stream may end."""
        return self._type < 0 and not self._buffer

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take what arrived, return (type, payload) of what is complete. Raises `TunnelProtocolError`."""
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        frames: list[tuple[int, bytes]] = []
        at, size = 0, len(data)
        while at < size:
            if self._type < 0:
                after = self._read_head(data, at, size)
                if after < 0:
                    self._buffer = data[at:]
                    break
                at = after
            here = min(self._left, size - at)
            if self._type in _WHOLE and here < self._left:
                self._buffer = data[at:]
                break
            if (self._type == DATA and here) or self._type in _WHOLE:
                frames.append((self._type, data[at : at + here]))
            at += here
            self._left -= here
            if self._left == 0:
                self._type = -1
        return frames

    def _read_head(self, data: bytes, at: int, size: int) -> int:
        """Read type and length; returns where the payload begins, -1 if they are not all there."""
        frame_type, at = _read_varint(data, at, size)
        if at < 0:
            return -1
        length, at = _read_varint(data, at, size)
        if at < 0:
            return -1
        if frame_type in _FORBIDDEN:
            raise TunnelProtocolError(
                f"frame type 0x{frame_type:x} on a request stream", h3_code=H3Code.FRAME_UNEXPECTED
            )
        if frame_type == HEADERS and length > self._max_header_bytes:
            raise TunnelProtocolError(
                f"a header section of {length} bytes exceeds {self._max_header_bytes}",
                code=Code.RESOURCE_EXHAUSTED,
                h3_code=H3Code.EXCESSIVE_LOAD,
            )
        self._type = frame_type if frame_type != DEADLINE or length <= VARINT_BYTES else _SKIPPED
        self._left = length
        if length == 0 and frame_type != HEADERS:
            self._type = -1
        return at


def _read_varint(data: bytes, at: int, size: int) -> tuple[int, int]:
    """The integer at `at` and where it ends, or (0, -1) if it is not all there."""
    if at >= size:
        return 0, -1
    first = data[at]
    length = 1 << (first >> 6)
    if length == 1:
        return first, at + 1
    end = at + length
    if end > size:
        return 0, -1
    return int.from_bytes(data[at:end], "big") & ((1 << (8 * length - 2)) - 1), end
