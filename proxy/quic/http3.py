"""aioquic's HTTP/3, set up for gRPC.

QPACK's dynamic table is off in both directions, because a header block that waits for a lost table update holds its
stream back for another one's packets (RFC 9204 section 2.1.2). Header sections are limited, a malformed message ends
its own stream and not the connection (RFC 9114 section 4.1.2), and GOAWAY is sent and heard (RFC 9114 section 5.2),
which aioquic leaves out.
"""

from __future__ import annotations

from aioquic._buffer import Buffer
from aioquic.buffer import encode_uint_var
from aioquic.h3.connection import (
    FrameType,
    H3Connection,
    H3Stream,
    MessageError,
    ProtocolError,
    Setting,
    encode_frame,
    parse_settings,
)
from aioquic.h3.events import H3Event
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import StreamDataReceived

from proxy.errors import H3Code

_COPY_BYTES = 2048
"""Shorter messages are joined with their frame header: the copy costs less than a second chunk in the send buffer."""
SETTINGS_MAX_FIELD_SECTION_SIZE = 0x6
"""RFC 9114 section 7.2.4.1."""


class GrpcHttp3(H3Connection):
    """HTTP/3 on one QUIC connection.

    `goaway_id` is the first stream that the peer will not serve, None until it says so. `malformed` collects the
    streams that were ended because of what came on them, and why, until the endpoint takes them.
    """

    def __init__(self, quic: QuicConnection, *, max_header_bytes: int) -> None:
        self._max_header_bytes = max_header_bytes
        self.goaway_id: int | None = None
        self.malformed: list[tuple[int, str]] = []
        self._given_up: set[int] = set()
        super().__init__(quic)

    @property
    def _max_table_capacity(self) -> int:
        return 0

    @_max_table_capacity.setter
    def _max_table_capacity(self, value: int) -> None:
        """Aioquic sets 4096 here before it makes its decoder."""

    @property
    def _blocked_streams(self) -> int:
        return 0

    @_blocked_streams.setter
    def _blocked_streams(self, value: int) -> None:
        """Aioquic sets 16 here before it makes its decoder."""

    def send_goaway(self, stream_id: int) -> None:
        """Tell the peer that requests from `stream_id` on are not served."""
        if self._local_control_stream_id is not None:
            self._quic.send_stream_data(
                self._local_control_stream_id, encode_frame(FrameType.GOAWAY, encode_uint_var(stream_id))
            )

    def send_data(self, stream_id: int, data: bytes, end_stream: bool, prefix: bytes = b"") -> None:  # noqa: FBT001 - aioquic's signature
        """A DATA frame of `prefix` and `data`, which is not copied."""
        with self._get_or_create_stream(stream_id) as stream:
            if end_stream:
                stream.finish_sending()
        head = encode_uint_var(FrameType.DATA) + encode_uint_var(len(prefix) + len(data)) + prefix
        if len(data) < _COPY_BYTES:
            self._quic.send_stream_data(stream_id, head + data, end_stream)
            return
        self._quic.send_stream_data(stream_id, head)
        self._quic.send_stream_data(stream_id, data, end_stream)

    def end_sending(self, stream_id: int) -> None:
        """Note that the stream was ended without a frame."""
        with self._get_or_create_stream(stream_id) as stream:
            stream.finish_sending()

    def forget(self, stream_id: int) -> None:
        """Drop what is kept for a stream that is given up. What the peer still sends on it is passed over."""
        stream = self._stream.pop(stream_id, None)
        if stream is not None and not stream.receiving_ended:
            self._given_up.add(stream_id)

    def _receive_stream_reset(self, stream_id: int) -> None:
        self._given_up.discard(stream_id)
        super()._receive_stream_reset(stream_id)

    def _get_local_settings(self) -> dict[int, int]:
        return {
            Setting.QPACK_MAX_TABLE_CAPACITY: 0,
            Setting.QPACK_BLOCKED_STREAMS: 0,
            SETTINGS_MAX_FIELD_SECTION_SIZE: self._max_header_bytes,
        }

    def _handle_control_frame(self, frame_type: int, frame_data: bytes) -> None:
        if frame_type == FrameType.GOAWAY:
            self.goaway_id = Buffer(data=frame_data).pull_uint_var()
        elif frame_type == FrameType.SETTINGS:
            # As aioquic does, but for `apply_settings`: an encoder that never hears of the peer's table never uses it.
            settings = parse_settings(frame_data)
            self._validate_settings(settings)
            self._received_settings = settings
            self._settings_received = True
        else:
            super()._handle_control_frame(frame_type, frame_data)

    def _check_request_or_push_frame_type(self, frame_type: int, stream: H3Stream) -> None:
        super()._check_request_or_push_frame_type(frame_type, stream)
        if frame_type == FrameType.HEADERS and (stream.frame_size or 0) > self._max_header_bytes:
            raise MessageError(f"header section of {stream.frame_size} bytes exceeds {self._max_header_bytes}")

    def _receive_stream_data(self, event: StreamDataReceived) -> list[H3Event]:
        if event.stream_id in self._given_up:
            if event.end_stream:
                self._given_up.discard(event.stream_id)
            return []
        try:
            return super()._receive_stream_data(event)
        except MessageError as error:
            self.forget(event.stream_id)
            self._quic.reset_stream(event.stream_id, H3Code.MESSAGE_ERROR)
            self._quic.stop_stream(event.stream_id, H3Code.MESSAGE_ERROR)
            self.malformed.append((event.stream_id, error.reason_phrase))
            return []


__all__ = ["GrpcHttp3", "ProtocolError"]
