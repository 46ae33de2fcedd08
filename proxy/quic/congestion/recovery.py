"""aioquic's loss recovery with measurement, a pacer and patience for reordered packets.

What changes against aioquic:

- Each acknowledgement gives a delivery-rate sample, whatever the congestion controller.
- The pacer counts bytes, and follows the model of a controller that has one.
- A packet that was declared lost and arrives makes the next ones be waited for longer.
- The round trip's variance is measured against its mean (RFC 9002 section 5.3), not against its minimum: a queue that
  stands is no variance.
- HyStart (RFC 9406) sees round trips without the time that the peer held its acknowledgement back.

This file touches aioquic's private attributes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aioquic.quic.congestion.base import K_GRANULARITY, register_congestion_control
from aioquic.quic.packet_builder import QuicSentPacket
from aioquic.quic.rangeset import RangeSet
from aioquic.quic.recovery import QuicPacketRecovery, QuicPacketSpace

from proxy.quic.congestion.bbr import Bbr
from proxy.quic.congestion.measured import MeasuredControl
from proxy.quic.congestion.pacer import Pacer
from proxy.quic.congestion.reordering import Reordering

register_congestion_control("bbr", Bbr)

LATE_ROUND_TRIPS = 3
"""A packet that has not come so long after it was declared lost does not come any more."""


class PathRecovery(QuicPacketRecovery):
    """Loss recovery and congestion control of one connection."""

    def __init__(
        self,
        *,
        congestion_control_algorithm: str,
        initial_rtt: float,
        max_datagram_size: int,
        peer_completed_address_validation: bool,
        send_probe: Callable[[], None],
        **logging: Any,
    ) -> None:
        super().__init__(
            congestion_control_algorithm=congestion_control_algorithm,
            initial_rtt=initial_rtt,
            max_datagram_size=max_datagram_size,
            peer_completed_address_validation=peer_completed_address_validation,
            send_probe=send_probe,
            **logging,
        )
        self.control = MeasuredControl(self._cc, name=congestion_control_algorithm)
        self.pacer = Pacer(datagram_bytes=max_datagram_size)
        self.pacer.follows_window = self.control.model is None
        self.reordering = Reordering()
        self.sent_packets = 0
        self.sent_bytes = 0
        self._cc = self.control
        self._pacer: Any = self.pacer

    def __repr__(self) -> str:
        return f"<PathRecovery {self.control!r} {self.pacer!r} {self.reordering!r}>"

    def use_datagram_size(self, size_bytes: int) -> None:
        """Packets are this large from now on."""
        self.pacer.datagram_bytes = size_bytes
        inner: Any = self.control.inner
        if self.control.model is not None:
            self.control.model.use_datagram_size(size_bytes)
        elif hasattr(inner, "_max_datagram_size"):
            inner._max_datagram_size = size_bytes  # noqa: SLF001 -- what reno and cubic grow by

    # What aioquic calls

    def on_packet_sent(self, *, packet: QuicSentPacket, space: QuicPacketSpace) -> None:
        super().on_packet_sent(packet=packet, space=space)
        if space.is_application_data:  # the handshake is not paced
            self.pacer.settle(packet.sent_bytes if packet.in_flight else 0)
            model = self.control.model
            if model is not None and model.pacing_rate is not None and model.pacing_rate != self.pacer.rate_bytes_s:
                self.pacer.set_rate(model.pacing_rate, now=packet.sent_time or 0.0)  # after a pause
        self.sent_packets += 1
        self.sent_bytes += packet.sent_bytes

    def on_ack_received(self, *, ack_rangeset: RangeSet, ack_delay: float, now: float, space: QuicPacketSpace) -> None:
        if space.is_application_data:
            self._notice_late_packets(ack_rangeset, now)
        control = self.control
        control.ack_delay = min(ack_delay, self.max_ack_delay)
        initialized, smoothed, variance = self._rtt_initialized, self._rtt_smoothed, self._rtt_variance
        super().on_ack_received(ack_rangeset=ack_rangeset, ack_delay=ack_delay, now=now, space=space)
        if initialized and (self._rtt_smoothed, self._rtt_variance) != (smoothed, variance):
            self._rtt_variance = 3 / 4 * variance + 1 / 4 * abs(smoothed - self._rtt_latest)
        if control.on_ack(now=now) and control.model is not None and control.model.pacing_rate is not None:
            self.pacer.set_rate(control.model.pacing_rate, now=now)

    def _detect_loss(self, *, now: float, space: QuicPacketSpace) -> None:
        """Aioquic's, with thresholds that change (RFC 9002 section 6.1)."""
        reordering = self.reordering
        rtt = max(self._rtt_latest, self._rtt_smoothed) if self._rtt_initialized else self._rtt_initial
        delay = max(reordering.time_threshold * rtt, K_GRANULARITY)  # RFC 9002 section 6.1.2
        largest = space.largest_acked_packet
        lost: list[QuicSentPacket] = []
        space.loss_time = None
        for number, packet in space.sent_packets.items():
            if number > largest:
                break
            sent_at = packet.sent_time or 0.0
            by_packets = number <= largest - reordering.packet_threshold
            if by_packets or sent_at <= now - delay:
                lost.append(packet)
                if packet.in_flight and space.is_application_data:
                    reordering.lost(
                        number, largest_acked=largest, by_packets=by_packets, size=packet.sent_bytes, now=now
                    )
            elif space.loss_time is None or space.loss_time > sent_at + delay:
                space.loss_time = sent_at + delay
        self._on_packets_lost(
            now=now, packets=lost, persistent_congestion=self._in_persistent_congestion(packets=lost), space=space
        )

    def _notice_late_packets(self, acknowledged: RangeSet, now: float) -> None:
        reordering = self.reordering
        if not (numbers := reordering.outstanding()):
            return
        for number in numbers:
            if any(number in numbers_acknowledged for numbers_acknowledged in acknowledged):
                self.control.on_late_packet(reordering.arrived(number))
        reordering.forget_before(now - LATE_ROUND_TRIPS * max(self._rtt_smoothed, K_GRANULARITY))
