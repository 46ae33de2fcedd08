"""A QUIC connection that fills packets with stream data, in the order of a `SendQueue`.

Packets that consist of an acknowledgement and STREAM frames alone, as nearly all do, are put together here in one go.
Those with any other frame are aioquic's `QuicPacketBuilder`'s, which looks at each frame for what it does to a packet.
"""
# ruff: noqa: SLF001 -- a seam to aioquic, see `connection`

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from aioquic import tls
from aioquic.quic.connection import QuicNetworkPath
from aioquic.quic.packet import QuicFrameType, QuicPacketType
from aioquic.quic.packet_builder import (
    PACKET_NUMBER_SEND_SIZE,
    QuicPacketBuilder,
    QuicPacketBuilderStop,
    QuicSentPacket,
)
from aioquic.quic.stream import QuicStreamSender

from policies.scheduling.base import Scheduler
from proxy.quic.credit_connection import CreditConnection
from proxy.quic.limits import FlowLimits
from proxy.quic.send_buffer import SendBuffer
from proxy.quic.send_queue import SendQueue
from proxy.tunnel.frames import encode_varint

STREAM_FRAME_ROOM = 32
"""A packet with less room than this is full: a frame's header alone takes up to 19 bytes."""
_MAX_FRAME_BYTES = 0x3FFF - 64
_ACK = bytes((QuicFrameType.ACK,))
_STREAM = int(QuicFrameType.STREAM_BASE) | 2  # with a length
_WITH_OFFSET, _FIN = 4, 1
_TAG_BYTES = 16
_SAMPLE = slice(4 - PACKET_NUMBER_SEND_SIZE, 20 - PACKET_NUMBER_SEND_SIZE)
"""Of the protected payload, for the header's mask (RFC 9001 section 5.4.2)."""

_DONE = QuicStreamSender(stream_id=None, writable=False)
"""Of every stream that is done both ways."""


class StreamFrame(NamedTuple):
    """A STREAM frame, and who hears of its delivery."""

    sender: SendBuffer
    head: bytes
    data: bytes
    delivery: tuple[int, int, bool]
    """First byte, byte after the last, and whether the stream ends there."""


class SendingConnection(CreditConnection):
    """See `proxy.quic.connection.ScheduledConnection`, which this is the sending half of."""

    def __init__(
        self,
        *,
        scheduler: Scheduler,
        limits: FlowLimits,
        on_room: Callable[[int], None],
        low_water_bytes: int,
        **path: Any,
    ) -> None:
        self._queue: SendQueue[SendBuffer] = SendQueue(scheduler)
        self._on_room = on_room
        self._low_water_bytes = low_water_bytes
        self._finished: dict[int, None] = {}
        super().__init__(limits=limits, **path)

    # Packets of an acknowledgement and stream data

    @property
    def _acknowledges_all(self) -> bool:
        """True if what arrived has no gaps, so that one range of numbers acknowledges it."""
        return len(self._spaces[tls.Epoch.ONE_RTT].ack_queue) <= 1

    def _plain_datagrams(self, now: float) -> list[tuple[bytes, tuple[str, int]]]:
        """The packets to send now, of a connection that `is_settled` and has nothing else to say."""
        space = self._spaces[tls.Epoch.ONE_RTT]
        loss, path, queue = self._recovery, self._network_paths[0], self._queue
        datagrams: list[tuple[bytes, tuple[str, int]]] = []
        overhead = 1 + len(self._peer_cid.cid) + PACKET_NUMBER_SEND_SIZE + _TAG_BYTES
        self._pacing_at = None
        while True:
            if space.ack_at is None or space.ack_at > now:
                if not queue.ready:
                    break
                self._pacing_at = pacing_at = loss.pacer.next_send_time(now=now)
                if pacing_at is not None:
                    break
            packet = QuicSentPacket(
                epoch=tls.Epoch.ONE_RTT,
                in_flight=False,
                is_ack_eliciting=False,
                is_crypto_packet=False,
                packet_number=self._packet_number,
                packet_type=QuicPacketType.ONE_RTT,
                sent_time=now,
            )
            chunks: list[bytes] = []
            room = self._max_datagram_size - overhead
            if space.ack_at is not None:
                chunks.append(self._ack_frame(packet, now))
            self._fill(packet, chunks, room, loss.congestion_window - loss.bytes_in_flight - overhead)
            if not chunks:
                break
            datagram = self._sealed(b"".join(chunks), packet.packet_number)
            self._packet_number += 1
            packet.sent_bytes = len(datagram)
            loss.on_packet_sent(packet=packet, space=space)
            if packet.is_ack_eliciting and not self._ack_eliciting_sent_since_receipt:
                self._close_at = now + self._idle_timeout()
                self._ack_eliciting_sent_since_receipt = True
            path.bytes_sent += packet.sent_bytes
            datagrams.append((datagram, path.addr))
        return datagrams

    def _ack_frame(self, packet: QuicSentPacket, now: float) -> bytes:
        """An acknowledgement of all that came, where nothing is missing in between."""
        space = self._spaces[tls.Epoch.ONE_RTT]
        received = space.ack_queue[-1]
        delay = int((now - (space.largest_received_time or now)) * 1000000) >> self._local_ack_delay_exponent
        space.ack_at = None
        self._unacknowledged_datagrams = 0
        packet.delivery_handlers.append((self._on_ack_delivery, (space, space.largest_received_packet)))
        largest = received.stop - 1
        return _ACK + encode_varint(largest) + encode_varint(delay) + b"\0" + encode_varint(largest - received.start)

    def _fill(self, packet: QuicSentPacket, chunks: list[bytes], room: int, window: int) -> None:
        """Add STREAM frames to the packet as long as there is room for them in it and in the congestion window."""
        used = len(chunks[0]) if chunks else 0
        while (left := min(room, window) - used) > STREAM_FRAME_ROOM:
            frame = self._next_stream_frame(left, in_packet=room - used)
            if frame is None:
                return
            packet.in_flight = packet.is_ack_eliciting = True
            packet.delivery_handlers.append((frame.sender.on_data_delivery, frame.delivery))
            chunks += (frame.head, frame.data)
            used += len(frame.head) + len(frame.data)

    def _sealed(self, payload: bytes, number: int) -> bytes:
        """The packet, protected (RFC 9001 section 5)."""
        crypto = self._cryptos[tls.Epoch.ONE_RTT]
        keys: Any = crypto.send
        first = 0x40 | self._spin_bit << 5 | crypto.key_phase << 2 | PACKET_NUMBER_SEND_SIZE - 1
        cid = self._peer_cid.cid
        number_sent = number & 0xFFFF
        header = bytes((first,)) + cid + number_sent.to_bytes(PACKET_NUMBER_SEND_SIZE, "big")
        protected: bytes = keys.aead.encrypt(payload, header, number)
        mask = keys.hp._mask(protected[_SAMPLE])
        number_sent ^= mask[1] << 8 | mask[2]
        return b"".join(
            (
                bytes((first ^ (mask[0] & 0x1F),)),
                cid,
                number_sent.to_bytes(PACKET_NUMBER_SEND_SIZE, "big"),
                protected,
            )
        )

    # Packets with other frames as well

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
                self._write_streams(builder)
            except QuicPacketBuilderStop:
                # The packet is full or the window is: a packet that stays empty tells which.
                pass
            if builder.packet_is_empty:
                return
            self._loss._pacer.update_after_send(now=now)
            if not self._has_data() and not self._has_control_frames():
                return

    def _write_streams(self, builder: QuicPacketBuilder) -> None:
        while (room := builder.remaining_flight_space) > STREAM_FRAME_ROOM:
            frame = self._next_stream_frame(room, in_packet=builder.remaining_buffer_space)
            if frame is None:
                return
            buf = builder.start_frame(
                frame.head[0],
                capacity=len(frame.head),
                handler=frame.sender.on_data_delivery,
                handler_args=frame.delivery,
            )
            buf.push_bytes(frame.head[1:])
            buf.push_bytes(frame.data)

    # Frames

    def _next_stream_frame(self, room: int, *, in_packet: int) -> StreamFrame | None:
        """What the queue has for so many bytes; None if there is nothing, or nothing that may be sent.

        `in_packet` is the packet's own room, where the congestion window leaves less.
        """
        queue = self._queue
        while True:
            sender = queue.next()
            if sender is None or self._is_worth_waiting(sender, room, in_packet=in_packet):
                return None
            highest = sender.highest_offset
            above = sender.unsent_bytes > self._low_water_bytes
            frame = self._stream_frame(sender, room)
            if frame is not None:
                self._remote_max_data_used += sender.highest_offset - highest
                queue.sent(sender, len(frame.data))
                if above and sender.unsent_bytes <= self._low_water_bytes:
                    self._on_room(sender.stream_id)
                return frame
            # There is room, so the peer's credit is used up.
            if self._remote_max_data_used < self._remote_max_data:
                queue.hold_back(sender)
            else:
                queue.hold_all_back()

    def _is_worth_waiting(self, sender: SendBuffer, room: int, *, in_packet: int) -> bool:
        """True where the congestion window has room for a scrap only, and what is in flight will give it more.

        Otherwise each acknowledgement under a full window would be followed by a packet of some forty bytes.
        """
        scrap = room < in_packet and room < self._max_datagram_size // 2
        return scrap and sender.unsent_bytes > room and self._loss.bytes_in_flight > 0

    def _stream_frame(self, sender: SendBuffer, room: int) -> StreamFrame | None:
        """A frame with as much as fits of one stream; None if flow control allows none."""
        offset = sender.next_offset
        numbers = encode_varint(sender.stream_id) + (encode_varint(offset) if offset else b"")
        credit = self._remote_max_data - self._remote_max_data_used
        frame = sender.get_frame(
            min(room - len(numbers) - 3, _MAX_FRAME_BYTES),  # a byte for the type, two for the length
            min(sender.highest_offset + credit, sender.stream.max_stream_data_remote),
        )
        if frame is None:
            return None
        size = len(frame.data)
        kind = _STREAM | (_WITH_OFFSET if offset else 0) | (_FIN if frame.fin else 0)
        head = bytes((kind,)) + numbers + (size | 0x4000).to_bytes(2, "big")
        return StreamFrame(sender, head, frame.data, (offset, offset + size, frame.fin))

    # Bookkeeping

    def _has_data(self) -> bool:
        return bool(self._queue.ready or self._signals or self._credit)

    def _discard_finished(self) -> None:
        """Forget streams that are done both ways and let the peer open as many new ones (RFC 9000 section 4.6)."""
        while self._finished:
            stream_id, _ = self._finished.popitem()
            stream = self._streams.pop(stream_id, None)
            if stream is None:
                continue
            stream.sender = _DONE  # the two know each other: what they hold would wait for the garbage collector
            if (stream_id % 2 == 0) != self._is_client:
                self._stream_limit(stream_id).value += 1
            self._queue.forget(stream_id)
            self._signals.pop(stream_id, None)
            self._credit.pop(stream_id, None)
