"""HTTP/3 on one connection, set up for gRPC.

aioquic's HTTP/3 does the connection's own streams: SETTINGS, QPACK, GOAWAY. Request streams are read and written here,
by the rules of `proxy.tunnel.frames`, so that what comes on one call ends that call alone, and nothing is kept for a
call that is over.

QPACK's dynamic table is off in both directions, because a header block that waits for a lost table update holds its
stream back for another one's packets (RFC 9204 section 2.1.2). So a header section can be read on its own, whatever
else was lost.
"""

from __future__ import annotations

import pylsqpack
from aioquic._buffer import Buffer, BufferReadError
from aioquic.h3.connection import FrameType, H3Connection, Setting, encode_frame, parse_settings
from aioquic.h3.events import H3Event
from aioquic.quic.events import QuicEvent, StreamDataReceived

from proxy.errors import H3Code, TunnelProtocolError
from proxy.quic.connection import ScheduledConnection
from proxy.tunnel.frames import DATA, HEADERS, VARINT_BYTES, encode_varint, frame_head
from proxy.tunnel.messages import PREFIX_BYTES, encode_prefix
from proxy.tunnel.metadata import Headers

MAX_HEADER_BYTES = 64 * 1024
"""A header section, compressed, that is longer is refused.

gRPC suggests 8 KiB and grpcio's hard limit is 16 KiB by default; Envoy accepts 60 KiB."""
_COPY_BYTES = 2048
"""Shorter messages are joined with their frame header: the copy costs less than a second chunk in the send buffer."""
SETTINGS_MAX_FIELD_SECTION_SIZE = 0x6
"""RFC 9114 section 7.2.4.1."""
_CONTROL_STREAM = b"\x00"
"""What a control stream begins with (RFC 9114 section 6.2.1)."""


class GrpcHttp3(H3Connection):
    """HTTP/3 on one QUIC connection.

    `goaway_id` is the first stream that the peer will not serve, None until it says so.
    """

    def __init__(self, connection: ScheduledConnection) -> None:
        self._connection = connection
        self.goaway_id: int | None = None
        self._heard_uni: set[int] = set()
        self._control_id: int | None = None
        self._control_rest = b""
        self._control_skip = 0
        super().__init__(connection)

    def handle_event(self, event: QuicEvent) -> list[H3Event]:
        """Take in what happened on one of the connection's own streams."""
        if isinstance(event, StreamDataReceived):
            self._listen_for_goaway(event)
        return super().handle_event(event)

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

    def headers_frame(self, stream_id: int, headers: Headers) -> bytes:
        """A HEADERS frame."""
        _, section = self._encoder.encode(stream_id, headers)
        return frame_head(HEADERS, len(section)) + section

    def read_headers(self, stream_id: int, section: bytes) -> Headers:
        """The fields of a header section.

        Raises `TunnelProtocolError` for one that is not QPACK or needs a dynamic table.
        """
        try:
            _, headers = self._decoder.feed_header(stream_id, section)
        except (pylsqpack.DecompressionFailed, pylsqpack.StreamBlocked) as error:
            raise TunnelProtocolError("the header section can't be decoded", h3_code=H3Code.MESSAGE_ERROR) from error
        fields: Headers = headers
        return fields

    def send(
        self, stream_id: int, data: bytes, *, now: float, end_stream: bool = False, due_at: float | None = None
    ) -> None:
        """Write frames to a stream. `due_at` as in `ScheduledConnection.write`."""
        self._connection.write(stream_id, data, now=now, end_stream=end_stream, due_at=due_at)

    def send_message(
        self,
        stream_id: int,
        message: bytes,
        *,
        now: float,
        before: bytes = b"",
        end_stream: bool = False,
        due_at: float | None = None,
    ) -> None:
        """Write `before` and a DATA frame with one gRPC message, which is not copied if it is long."""
        size = len(message)
        head = before + frame_head(DATA, PREFIX_BYTES + size) + encode_prefix(size)
        chunks = (head + message,) if size < _COPY_BYTES else (head, message)
        self._connection.write(stream_id, *chunks, now=now, end_stream=end_stream, due_at=due_at)

    def send_goaway(self, stream_id: int) -> None:
        """Tell the peer that requests from `stream_id` on are not served."""
        if self._local_control_stream_id is not None:
            self._quic.send_stream_data(
                self._local_control_stream_id, encode_frame(FrameType.GOAWAY, encode_varint(stream_id))
            )

    def _get_local_settings(self) -> dict[int, int]:
        return {
            Setting.QPACK_MAX_TABLE_CAPACITY: 0,
            Setting.QPACK_BLOCKED_STREAMS: 0,
            SETTINGS_MAX_FIELD_SECTION_SIZE: MAX_HEADER_BYTES,
        }

    def _handle_control_frame(self, frame_type: int, frame_data: bytes) -> None:
        if frame_type == FrameType.SETTINGS:
            # As aioquic does, but for `apply_settings`: an encoder that never hears of the peer's table never uses it.
            settings = parse_settings(frame_data)
            self._validate_settings(settings)
            self._received_settings = settings
            self._settings_received = True
        else:
            super()._handle_control_frame(frame_type, frame_data)

    def _listen_for_goaway(self, event: StreamDataReceived) -> None:
        """Find GOAWAY on the peer's control stream (RFC 9114 sections 6.2.1 and 7.2.6), which aioquic reads over."""
        data = event.data
        if event.stream_id not in self._heard_uni:
            self._heard_uni.add(event.stream_id)
            if data[:1] == _CONTROL_STREAM:
                self._control_id, data = event.stream_id, data[1:]
        if event.stream_id != self._control_id:
            return
        data = self._control_rest + data
        while data:
            if self._control_skip:
                skipped = min(self._control_skip, len(data))
                self._control_skip -= skipped
                data = data[skipped:]
                continue
            buffer = Buffer(data=data)
            try:
                frame_type, size = buffer.pull_uint_var(), buffer.pull_uint_var()
                if frame_type == FrameType.GOAWAY and size <= VARINT_BYTES:
                    self.goaway_id = Buffer(data=buffer.pull_bytes(size)).pull_uint_var()
                else:
                    self._control_skip = size
            except BufferReadError:
                break
            data = data[buffer.tell() :]
        self._control_rest = data
