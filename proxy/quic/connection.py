"""A QUIC connection with scheduled streams and credit that follows consumption.

- The order of streams is a `policies.scheduling` scheduler's, packet by packet, retransmissions included. HTTP/3's own
  streams and streams marked urgent go first. Nothing here walks streams that have nothing to send.
- Stream credit (MAX_STREAM_DATA, RFC 9000 section 4.1) is given back by `grant` when the application has consumed,
  connection credit when bytes arrive, so that a stopped reader stops its own stream only.

Like `path_connection`, `send_buffer` and `http3` beside it, this file touches aioquic's private attributes; no other
does (`tests/architecture` checks that, and that the version installed still has them).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aioquic import tls
from aioquic._buffer import Buffer
from aioquic.buffer import size_uint_var
from aioquic.quic import events
from aioquic.quic.connection import (
    QuicNetworkPath,
    QuicReceiveContext,
    stream_is_unidirectional,
)
from aioquic.quic.packet import QuicFrameType, QuicPacketType
from aioquic.quic.packet_builder import QuicDeliveryState, QuicPacketBuilder, QuicPacketBuilderStop
from aioquic.quic.stream import QuicStream

from policies.scheduling.base import Scheduler, StreamOrder
from proxy.quic.limits import FlowLimits
from proxy.quic.path_connection import LIMIT_CAPACITY, PathConnection
from proxy.quic.send_buffer import SendBuffer

STREAM_FRAME_ROOM = 32
"""A packet with less room than this is full: a frame's header alone takes up to 19 bytes."""
_RESET_CAPACITY = 1 + 3 * 8
_STOP_CAPACITY = 1 + 2 * 8
_MAX_FRAME_BYTES = 0x3FFF - 64


class ScheduledConnection(PathConnection):
    """A QUIC connection whose streams are served in the order of `scheduler`.

    `on_room` is called with a stream's number when less than `low_water_bytes` of what was written to it is still
    unsent, once after each time `unsent_bytes` was above it.
    """

    def __init__(
        self,
        *,
        scheduler: Scheduler,
        limits: FlowLimits,
        on_room: Callable[[int], None],
        low_water_bytes: int = 64 * 1024,
        **path: Any,
    ) -> None:
        self._scheduler = scheduler
        self._limits = limits
        self._on_room = on_room
        self._low_water_bytes = low_water_bytes
        self._senders: dict[int, SendBuffer] = {}
        self._orders: dict[int, StreamOrder] = {}
        self._urgent: dict[int, None] = {}
        self._urgent_ready: dict[int, None] = {}
        self._signals: dict[int, None] = {}
        self._credit: dict[int, None] = {}
        self._credit_blocked: dict[int, None] = {}
        self._finished: dict[int, None] = {}
        self._now = 0.0
        super().__init__(**path)
        self._local_max_streams_bidi.value = self._local_max_streams_bidi.sent = limits.max_streams

    def __repr__(self) -> str:
        role = "client" if self._is_client else "server"
        return f"<ScheduledConnection {role} {self._state.name} streams={len(self._streams)} {self._scheduler!r}>"

    # What the endpoint calls

    def use_scheduler(self, scheduler: Scheduler, *, now: float) -> None:
        """Serve streams in another discipline's order from the next packet on."""
        self._scheduler = scheduler
        for stream_id, sender in self._senders.items():
            if stream_id not in self._urgent and sender.can_send:
                scheduler.add(self._order(stream_id, now), unsent_bytes=sender.unsent_bytes, now=now)

    def order_stream(self, order: StreamOrder, *, now: float) -> None:
        """Say how urgent a stream is; its place changes from the next packet on."""
        self._orders[order.stream_id] = order
        sender = self._senders.get(order.stream_id)
        if sender is not None and order.stream_id not in self._urgent and sender.can_send:
            self._scheduler.add(order, unsent_bytes=sender.unsent_bytes, now=now)

    def make_urgent(self, stream_id: int) -> None:
        """Serve this stream before every scheduled one."""
        self._urgent[stream_id] = None
        self._scheduler.remove(stream_id)
        if (sender := self._senders.get(stream_id)) is not None:
            self._ready(sender)

    def open_stream(self) -> int:
        """The number of a new stream of ours, taken from now on whether or not anything is written to it."""
        stream_id = self.get_next_available_stream_id()
        self._get_or_create_stream_for_send(stream_id)
        return stream_id

    def unsent_bytes(self, stream_id: int) -> int:
        """Bytes written to a stream and never put into a packet; 0 for a stream that is gone."""
        sender = self._senders.get(stream_id)
        return 0 if sender is None else sender.unsent_bytes

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
    def has_delivered(self) -> bool:
        """True when everything written has been sent and acknowledged."""
        return not (self._has_data() or self._credit_blocked or self.awaits_acknowledgement)

    @property
    def next_peer_stream_id(self) -> int:
        """The first bidirectional stream that the peer has not opened yet."""
        return self._local_max_streams_bidi.used * 4 + (1 if self._is_client else 0)

    # What aioquic calls

    @property  # type: ignore[override]
    def _streams_queue(self) -> ScheduledConnection:
        """Aioquic appends every new stream to its list of streams; here it hands them to `append`."""
        return self

    @_streams_queue.setter
    def _streams_queue(self, value: list[QuicStream]) -> None:
        """Aioquic's own order is not used."""

    def append(self, stream: QuicStream) -> None:
        """Adopt a stream that aioquic has just made. For aioquic only."""
        stream_id = stream.stream_id
        if stream_id is None:
            raise ValueError("a stream without a number carries no application data")
        sender = SendBuffer(
            stream, stream_id, on_ready=self._ready, on_signal=self._signal, on_finished=self._note_finished
        )
        stream.sender = self._senders[stream_id] = sender
        if stream_is_unidirectional(stream_id):
            self._urgent[stream_id] = None

    def next_event(self) -> events.QuicEvent | None:
        event = super().next_event()
        if isinstance(event, events.StreamDataReceived | events.StreamReset):
            stream = self._streams.get(event.stream_id)
            if stream is not None and stream.is_finished:
                self._finished[event.stream_id] = None
        return event

    def stop_stream(self, stream_id: int, error_code: int) -> None:
        stream = self._streams.get(stream_id)
        if stream is not None and not stream.receiver.is_finished:
            super().stop_stream(stream_id, error_code)
            self._signals[stream_id] = None

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, tuple[str, int]]]:
        self._now = now
        if self._has_nothing_to_send(now):
            self._pacing_at = None
            return []
        return super().datagrams_to_send(now)

    def _has_nothing_to_send(self, now: float) -> bool:
        """True where aioquic would set up a packet and throw it away. Most flushes of an RPC connection end here."""
        if not self._handshake_confirmed or self._close_pending or len(self._network_paths) > 1 or self._mtu.may_probe:
            return False
        self._discard_finished()
        ack_at = self._spaces[tls.Epoch.ONE_RTT].ack_at
        if ack_at is not None and ack_at <= now:
            return False
        return not (self._has_data() or self._has_control_frames())

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

    def _unblock_streams(self, is_unidirectional: bool) -> None:  # noqa: FBT001 - aioquic's signature
        waiting = list(self._streams_blocked_uni if is_unidirectional else self._streams_blocked_bidi)
        super()._unblock_streams(is_unidirectional)
        for stream in waiting:
            if not stream.is_blocked and stream.stream_id in self._senders:
                self._ready(self._senders[stream.stream_id])
                if stream.sender.reset_pending or stream.receiver.stop_pending:
                    self._signals[stream.stream_id] = None

    def _handle_max_data_frame(self, context: QuicReceiveContext, frame_type: int, buf: Buffer) -> None:
        super()._handle_max_data_frame(context, frame_type, buf)
        blocked, self._credit_blocked = self._credit_blocked, {}
        for stream_id in blocked:
            if (sender := self._senders.get(stream_id)) is not None:
                self._ready(sender)

    def _handle_max_stream_data_frame(self, context: QuicReceiveContext, frame_type: int, buf: Buffer) -> None:
        start = buf.tell()
        super()._handle_max_stream_data_frame(context, frame_type, buf)
        end = buf.tell()
        buf.seek(start)
        stream_id = buf.pull_uint_var()
        buf.seek(end)
        if stream_id in self._credit_blocked:
            del self._credit_blocked[stream_id]
            self._ready(self._senders[stream_id])

    def _on_max_stream_data_delivery(self, delivery: QuicDeliveryState, stream: QuicStream) -> None:
        super()._on_max_stream_data_delivery(delivery, stream)
        if delivery != QuicDeliveryState.ACKED and stream.stream_id in self._streams:
            self._credit[stream.stream_id] = None

    def _write_application(self, builder: QuicPacketBuilder, network_path: QuicNetworkPath, now: float) -> None:
        crypto = self._cryptos[tls.Epoch.ONE_RTT]
        if not crypto.send.is_valid():
            return
        space = self._spaces[tls.Epoch.ONE_RTT]
        self._discard_finished()
        while True:
            ack_due = space.ack_at is not None and space.ack_at <= now
            if not ack_due:
                pacing_at: float | None = self._loss._pacer.next_send_time(now=now)
                self._pacing_at = pacing_at
                if pacing_at is not None:
                    return
            builder.start_packet(QuicPacketType.ONE_RTT, crypto)
            if space.ack_at is not None and (ack_due or self._has_data()):
                self._write_ack_frame(builder=builder, space=space, now=now)
                self._unacknowledged_datagrams = 0
            try:
                self._write_control_frames(builder, network_path, now)
                self._write_stream_signals(builder)
                self._write_streams(builder, now)
            except QuicPacketBuilderStop:
                # The packet is full or the window is: a packet that stays empty tells which.
                pass
            if builder.packet_is_empty:
                return
            self._loss._pacer.update_after_send(now=now)
            if not self._has_data() and not self._has_control_frames():
                return

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

    def _write_streams(self, builder: QuicPacketBuilder, now: float) -> None:
        """Fill the packet with stream data: urgent streams first, then as the scheduler says."""
        scheduler = self._scheduler
        while builder.remaining_flight_space > STREAM_FRAME_ROOM:
            urgent = True
            stream_id = next(iter(self._urgent_ready), None)
            if stream_id is None:
                urgent = False
                stream_id = scheduler.next(now=now)
                if stream_id is None:
                    return
            sender = self._senders.get(stream_id)
            if sender is None or not sender.can_send:
                self._unready(stream_id)
                continue
            if self._is_worth_waiting(builder, sender):
                return
            above = sender.unsent_bytes > self._low_water_bytes
            sent = self._write_stream(builder, sender)
            if sender.buffer_is_empty:
                self._unready(stream_id)
            elif sent == 0:
                self._credit_blocked[stream_id] = None  # there is room, so the peer's credit is used up
                self._unready(stream_id)
            elif not urgent:
                scheduler.served(stream_id, sent_bytes=sent, now=now)
            if above and sender.unsent_bytes <= self._low_water_bytes:
                self._on_room(stream_id)

    def _is_worth_waiting(self, builder: QuicPacketBuilder, sender: SendBuffer) -> bool:
        """True where the congestion window has room for a scrap only, and what is in flight will give it more.

        Otherwise each acknowledgement under a full window would be followed by a packet of some forty bytes.
        """
        room = builder.remaining_flight_space
        scrap = room < self._max_datagram_size // 2 and room < builder.remaining_buffer_space
        return scrap and sender.unsent_bytes > room and self._loss.bytes_in_flight > 0

    def _write_stream(self, builder: QuicPacketBuilder, sender: SendBuffer) -> int:
        """One STREAM frame with as much as fits; returns the bytes it takes up, 0 if flow control allows none."""
        offset = sender.next_offset
        overhead = 3 + size_uint_var(sender.stream_id) + (size_uint_var(offset) if offset else 0)
        highest = sender.highest_offset
        max_offset = min(
            highest + self._remote_max_data - self._remote_max_data_used, sender.stream.max_stream_data_remote
        )
        frame = sender.get_frame(min(builder.remaining_flight_space - overhead, _MAX_FRAME_BYTES), max_offset)
        if frame is None:
            return 0
        size = len(frame.data)
        buf = builder.start_frame(
            QuicFrameType.STREAM_BASE | 2 | (4 if frame.offset else 0) | (1 if frame.fin else 0),
            capacity=overhead,
            handler=sender.on_data_delivery,
            handler_args=(frame.offset, frame.offset + size, frame.fin),
        )
        buf.push_uint_var(sender.stream_id)
        if frame.offset:
            buf.push_uint_var(frame.offset)
        buf.push_uint16(size | 0x4000)
        buf.push_bytes(frame.data)
        self._remote_max_data_used += sender.highest_offset - highest
        return size + overhead

    # Bookkeeping

    def _has_data(self) -> bool:
        return bool(self._urgent_ready or len(self._scheduler) or self._signals or self._credit)

    def _order(self, stream_id: int, now: float) -> StreamOrder:
        order = self._orders.get(stream_id)
        if order is None:
            order = self._orders[stream_id] = StreamOrder(stream_id=stream_id, arrived_at=now)
        return order

    def _ready(self, sender: SendBuffer) -> None:
        stream_id = sender.stream_id
        # What is sent again needs no credit: without it the peer might never have a reason to give more.
        waits_for_credit = stream_id in self._credit_blocked and sender.next_offset >= sender.highest_offset
        if not sender.can_send or waits_for_credit:
            return
        if stream_id in self._urgent:
            self._urgent_ready[stream_id] = None
        else:
            order = self._order(stream_id, self._now)
            self._scheduler.add(order, unsent_bytes=sender.unsent_bytes, now=self._now)

    def _unready(self, stream_id: int) -> None:
        self._urgent_ready.pop(stream_id, None)
        self._scheduler.remove(stream_id)

    def _signal(self, sender: SendBuffer) -> None:
        self._unready(sender.stream_id)
        self._signals[sender.stream_id] = None

    def _note_finished(self, sender: SendBuffer) -> None:
        if sender.stream.is_finished:
            self._finished[sender.stream_id] = None

    def _discard_finished(self) -> None:
        """Forget streams that are done both ways and let the peer open as many new ones (RFC 9000 section 4.6)."""
        while self._finished:
            stream_id, _ = self._finished.popitem()
            if self._streams.pop(stream_id, None) is None:
                continue
            if (stream_id % 2 == 0) != self._is_client:
                self._stream_limit(stream_id).value += 1
            self._unready(stream_id)
            del self._senders[stream_id]
            for table in (self._orders, self._urgent, self._signals, self._credit, self._credit_blocked):
                table.pop(stream_id, None)

    def _on_stop_sending_delivery(self, delivery: QuicDeliveryState, stream: QuicStream) -> None:
        stream.receiver.on_stop_sending_delivery(delivery)
        if stream.receiver.stop_pending and stream.stream_id in self._streams:
            self._signals[stream.stream_id] = None
