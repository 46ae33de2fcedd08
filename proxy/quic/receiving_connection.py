"""aioquic's QUIC connection with a shorter way in for the packets that come once the handshake is through.

A 1-RTT packet on the path and under the connection ID in use is opened here, and those of its frames that nearly all
packets consist of, ACK and STREAM in order, are read here. Whatever is different about a packet or a frame, an error
included, goes aioquic's way, from the first frame on that is different.
"""
# ruff: noqa: SLF001 -- a seam to aioquic, see `connection`

from __future__ import annotations

from typing import Any

from aioquic import tls
from aioquic._buffer import Buffer, BufferReadError
from aioquic._crypto import CryptoError
from aioquic.quic import events
from aioquic.quic.connection import (
    QuicConnection,
    QuicConnectionError,
    QuicConnectionState,
    QuicReceiveContext,
)
from aioquic.quic.packet import QuicFrameType, decode_packet_number
from aioquic.quic.recovery import MAX_ACK_RANGES
from aioquic.quic.stream import StreamFinishedError

SAMPLE_BYTES = 16
"""Of the protected payload, for the header's mask (RFC 9001 section 5.4.2)."""
_SAMPLE_AFTER = 4
"""The sample is taken as if the packet number had this length."""
_ACK = int(QuicFrameType.ACK)
_STREAM, _STREAM_END = int(QuicFrameType.STREAM_BASE), int(QuicFrameType.STREAM_BASE) + 8
_UNIDIRECTIONAL = 0x2


class ReceivingConnection(QuicConnection):
    """A QUIC connection that takes in 1-RTT packets by the short way where it can."""

    @property
    def is_settled(self) -> bool:
        """True while nothing is under way but 1-RTT packets on one path: no handshake, new keys, end or migration."""
        return (
            self._handshake_confirmed
            and self._state is QuicConnectionState.CONNECTED
            and not self._close_pending
            and not self._cryptos[tls.Epoch.ONE_RTT]._update_key_requested
            and self._quic_logger is None
            and len(self._network_paths) == 1
            and self._network_paths[0].is_validated
        )

    # What aioquic calls

    def receive_datagram(self, data: bytes, addr: Any, now: float) -> None:
        if not self._receive_short(data, addr, now):
            super().receive_datagram(data, addr, now)

    def _receive_short(self, data: bytes, addr: Any, now: float) -> bool:
        """Take in a datagram of one 1-RTT packet. False, and nothing done, for any other."""
        cid = self.host_cid
        at = 1 + len(cid)
        sample = data[at + _SAMPLE_AFTER : at + _SAMPLE_AFTER + SAMPLE_BYTES]
        if not (
            len(sample) == SAMPLE_BYTES
            and data[0] & 0xC0 == 0x40  # noqa: PLR2004 -- a short header (RFC 9000 section 17.3.1)
            and data.startswith(cid, 1)
            and self.is_settled
            and self._network_paths[0].addr == addr
        ):
            return False
        space = self._spaces[tls.Epoch.ONE_RTT]
        keys: Any = self._cryptos[tls.Epoch.ONE_RTT].recv
        mask = keys.hp._mask(sample)
        first = data[0] ^ (mask[0] & 0x1F)
        if first & 0x18 or bool(first & 0x04) != bool(keys.key_phase):  # reserved bits, or the next keys
            return False
        number_bytes = (first & 0x03) + 1
        payload_at = at + number_bytes
        truncated = int.from_bytes(data[at:payload_at], "big") ^ int.from_bytes(mask[1 : 1 + number_bytes], "big")
        number = decode_packet_number(truncated, 8 * number_bytes, space.expected_packet_number)
        header = bytes((first,)) + cid + truncated.to_bytes(number_bytes, "big")
        try:
            plain = keys.aead.decrypt(data[payload_at:], header, number)
        except CryptoError:
            return True
        if number not in space.received_packets:
            self._take_packet(number, first, plain, now)
        return True

    def _take_packet(self, number: int, first: int, plain: bytes, now: float) -> None:
        """What aioquic does with a packet that it has opened."""
        space = self._spaces[tls.Epoch.ONE_RTT]
        if number > space.expected_packet_number:
            space.expected_packet_number = number + 1
        if number > self._spin_highest_pn:
            self._spin_bit = bool(first & 0x20) is not self._is_client
            self._spin_highest_pn = number
        is_ack_eliciting = False
        try:
            is_ack_eliciting = self._take_frames(plain, now)
        except QuicConnectionError as error:
            self.close(error_code=error.error_code, frame_type=error.frame_type, reason_phrase=error.reason_phrase)
        if self._close_pending or self._state is not QuicConnectionState.CONNECTED:
            return
        self._close_at = now + self._idle_timeout()
        self._ack_eliciting_sent_since_receipt = False
        if number > space.largest_received_packet:
            space.largest_received_packet = number
            space.largest_received_time = now
        space.ack_queue.add(number)
        space.received_packets.add(number)
        if len(space.ack_queue) > MAX_ACK_RANGES:
            space.ack_queue.shift()
        if is_ack_eliciting and space.ack_at is None:
            space.ack_at = now + self._ack_delay

    # Frames

    def _take_frames(self, plain: bytes, now: float) -> bool:
        """Whether the packet wants an acknowledgement. Raises QuicConnectionError."""
        buf = Buffer(data=plain)
        is_ack_eliciting = False
        size = len(plain)
        at = 0
        while at < size:
            try:
                kind = buf.pull_uint_var()
                if _STREAM <= kind < _STREAM_END:
                    known = self._take_stream(kind, buf)
                    is_ack_eliciting = is_ack_eliciting or known
                else:
                    known = kind == _ACK and self._take_ack(buf, now)
            except BufferReadError:
                known = False
            if not known:
                break
            at = buf.tell()
        if at < size or not size:
            context = QuicReceiveContext(
                epoch=tls.Epoch.ONE_RTT,
                host_cid=self.host_cid,
                network_path=self._network_paths[0],
                quic_logger_frames=None,
                time=now,
                version=None,
            )
            is_ack_eliciting = self._payload_received(context, plain[at:])[0] or is_ack_eliciting
        return is_ack_eliciting

    def _take_stream(self, kind: int, buf: Buffer) -> bool:
        """A STREAM frame that goes on where its stream ends. False, and nothing done, for any other."""
        stream_id = buf.pull_uint_var()
        offset = buf.pull_uint_var() if kind & 4 else 0
        length = buf.pull_uint_var() if kind & 2 else buf.capacity - buf.tell()
        if stream_id & _UNIDIRECTIONAL or not length:
            return False
        stream = self._streams.get(stream_id)
        if stream is None:
            try:
                stream = self._get_or_create_stream(kind, stream_id)
            except StreamFinishedError:
                return False
        receiver = stream.receiver
        limit = self._local_max_data
        end = offset + length
        if (
            offset != receiver._buffer_start
            or receiver._buffer
            or receiver.is_finished
            or receiver._final_size is not None
            or end > stream.max_stream_data_local
            or limit.used + length > limit.value
        ):
            return False
        data = buf.pull_bytes(length)
        receiver._buffer_start = receiver.highest_offset = end
        limit.used += length
        ended = bool(kind & 1)
        if ended:
            receiver._final_size = end
            receiver.is_finished = True
        self._events.append(events.StreamDataReceived(data=data, end_stream=ended, stream_id=stream_id))
        return True

    def _take_ack(self, buf: Buffer, now: float) -> bool:
        """An ACK frame with one range. False, and nothing done, for any other."""
        largest = buf.pull_uint_var()
        delay = buf.pull_uint_var()
        further_ranges = buf.pull_uint_var()
        first_range = buf.pull_uint_var()
        if further_ranges or first_range > largest or not self._loss.peer_completed_address_validation:
            return False
        recovery: Any = self._loss
        recovery.acknowledged(
            [range(largest - first_range, largest + 1)],
            ack_delay=(delay << self._remote_ack_delay_exponent) / 1000000,
            now=now,
            space=self._spaces[tls.Epoch.ONE_RTT],
        )
        return True
