"""A QUIC connection whose credit follows consumption, and that says so in frames of its own.

Stream credit (MAX_STREAM_DATA, RFC 9000 section 4.1) is given back by `grant` when the application has consumed,
connection credit when bytes arrive, so that a stopped reader stops its own stream only. What streams have to announce
is noted when it comes up, so that making a packet walks no streams.
"""

from __future__ import annotations

from typing import Any

from aioquic import tls
from aioquic.quic.packet import QuicFrameType
from aioquic.quic.packet_builder import QuicDeliveryState, QuicPacketBuilder
from aioquic.quic.stream import QuicStream

from proxy.quic.limits import FlowLimits
from proxy.quic.path_connection import LIMIT_CAPACITY, PathConnection

_RESET_CAPACITY = 1 + 3 * 8
_STOP_CAPACITY = 1 + 2 * 8


class CreditConnection(PathConnection):
    """A QUIC connection that gives credit by `limits`."""

    def __init__(self, *, limits: FlowLimits, **path: Any) -> None:
        self._limits = limits
        self._signals: dict[int, None] = {}  # streams with a STOP_SENDING or RESET_STREAM to send
        self._credit: dict[int, None] = {}  # streams with a MAX_STREAM_DATA to send
        super().__init__(**path)
        self._local_max_streams_bidi.value = self._local_max_streams_bidi.sent = limits.max_streams

    def is_receiving(self, stream_id: int) -> bool:
        """True while the peer may still send on a stream."""
        stream = self._streams.get(stream_id)
        return stream is not None and not stream.receiver.is_finished

    def grant(self, stream_id: int, consumed_bytes: int) -> None:
        """The application has consumed this much of a stream: let the peer send as much again."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.receiver.is_finished:
            return
        stream.max_stream_data_local += consumed_bytes
        # One update for each quarter of the window keeps the sender busy and updates rare.
        if stream.max_stream_data_local - stream.max_stream_data_local_sent >= self._limits.stream_window_bytes // 4:
            self._credit[stream_id] = None

    @property
    def next_peer_stream_id(self) -> int:
        """The first bidirectional stream that the peer has not opened yet."""
        return self._local_max_streams_bidi.used * 4 + (1 if self._is_client else 0)

    # What aioquic calls

    def stop_stream(self, stream_id: int, error_code: int) -> None:
        stream = self._streams.get(stream_id)
        if stream is not None and not stream.receiver.is_finished:
            super().stop_stream(stream_id, error_code)
            self._signals[stream_id] = None

    def _has_control_frames(self) -> bool:
        path = self._network_paths[0]
        max_data, max_streams = self._local_max_data, self._local_max_streams_bidi
        return bool(
            self._probe_pending
            or self._ping_pending
            or self._handshake_done_pending
            or self._retire_connection_ids
            or self._streams_blocked_pending
            or path.remote_challenges
            or not (path.is_validated or path.local_challenge_sent)
            or max_data.value != max_data.sent
            or max_data.used + self._limits.connection_window_bytes * 3 // 4 > max_data.value
            or max_streams.sent - max_streams.used < max_streams.value - max_streams.sent
            or not all(cid.was_sent for cid in self._host_cids)
            or not self._crypto_streams[tls.Epoch.ONE_RTT].sender.buffer_is_empty
        )

    def _on_max_stream_data_delivery(self, delivery: QuicDeliveryState, stream: QuicStream) -> None:
        super()._on_max_stream_data_delivery(delivery, stream)
        if delivery != QuicDeliveryState.ACKED and stream.stream_id in self._streams:
            self._credit[stream.stream_id] = None

    def _on_stop_sending_delivery(self, delivery: QuicDeliveryState, stream: QuicStream) -> None:
        stream.receiver.on_stop_sending_delivery(delivery)
        if stream.receiver.stop_pending and stream.stream_id in self._streams:
            self._signals[stream.stream_id] = None

    # Frames

    def _write_connection_limits(self, builder: QuicPacketBuilder, space: Any) -> None:
        """Keep MAX_DATA one window ahead of what has arrived; MAX_STREAMS as aioquic does."""
        max_data = self._local_max_data
        window = self._limits.connection_window_bytes
        ahead = max_data.used + window
        if ahead - max_data.value >= window // 4:
            max_data.value = ahead
        if max_data.used * 2 > max_data.value:
            # Past the first window `used` outgrows half of the absolute limit, so the frame is written here.
            self._write_limit(builder, max_data)
            used, max_data.used = max_data.used, 0
            try:
                super()._write_connection_limits(builder, space)
            finally:
                max_data.used = used
            return
        super()._write_connection_limits(builder, space)

    def _write_stream_signals(self, builder: QuicPacketBuilder) -> None:
        """STOP_SENDING, RESET_STREAM and MAX_STREAM_DATA of the streams that have one pending."""
        while self._signals:
            stream_id = next(iter(self._signals))
            stream = self._streams.get(stream_id)
            if stream is not None and stream.is_blocked:
                # The peer must not hear of it before it may be opened: `_unblock_streams` comes back to it.
                del self._signals[stream_id]
                continue
            if stream is not None and stream.receiver.stop_pending:
                buf = builder.start_frame(
                    QuicFrameType.STOP_SENDING,
                    capacity=_STOP_CAPACITY,
                    handler=self._on_stop_sending_delivery,
                    handler_args=(stream,),
                )
                stop = stream.receiver.get_stop_frame()
                buf.push_uint_var(stop.stream_id)
                buf.push_uint_var(stop.error_code)
            if stream is not None and stream.sender.reset_pending:
                buf = builder.start_frame(
                    QuicFrameType.RESET_STREAM, capacity=_RESET_CAPACITY, handler=stream.sender.on_reset_delivery
                )
                reset = stream.sender.get_reset_frame()
                buf.push_uint_var(reset.stream_id)
                buf.push_uint_var(reset.error_code)
                buf.push_uint_var(reset.final_size)
            del self._signals[stream_id]
        while self._credit:
            stream_id = next(iter(self._credit))
            stream = self._streams.get(stream_id)
            if stream is not None and not stream.receiver.is_finished:
                buf = builder.start_frame(
                    QuicFrameType.MAX_STREAM_DATA,
                    capacity=LIMIT_CAPACITY,
                    handler=self._on_max_stream_data_delivery,
                    handler_args=(stream,),
                )
                buf.push_uint_var(stream_id)
                buf.push_uint_var(stream.max_stream_data_local)
                stream.max_stream_data_local_sent = stream.max_stream_data_local
            del self._credit[stream_id]
