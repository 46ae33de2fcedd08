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

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aioquic.quic.congestion.base import K_GRANULARITY, register_congestion_control
from aioquic.quic.packet_builder import QuicDeliveryState, QuicSentPacket
from aioquic.quic.rangeset import RangeSet
from aioquic.quic.recovery import QuicPacketRecovery, QuicPacketSpace

from proxy.quic.congestion.bbr import Bbr
from proxy.quic.congestion.measured import MeasuredControl
from proxy.quic.congestion.pacer import Pacer
from proxy.quic.congestion.reordering import Reordering

register_congestion_control("bbr", Bbr)

LATE_ROUND_TRIPS = 3
"""A packet that has not come so long after it was declared lost does not come any more."""

_FEW = 16
"""So many numbers are looked up one by one; in more, the packets in flight are searched."""


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

    def get_loss_detection_time(self, *, amplification_limited: bool) -> float | None:
        if not self.handshake_confirmed or amplification_limited:
            return super().get_loss_detection_time(amplification_limited=amplification_limited)
        space = self.spaces[-1]  # the handshake's are discarded
        if space.loss_time is not None or not space.ack_eliciting_in_flight:
            return space.loss_time
        timeout: float = self.get_probe_timeout() * 2**self._pto_count
        return self._time_of_last_sent_ack_eliciting_packet + timeout

    def on_ack_received(self, *, ack_rangeset: RangeSet, ack_delay: float, now: float, space: QuicPacketSpace) -> None:
        self.acknowledged(list(ack_rangeset), ack_delay=ack_delay, now=now, space=space)

    def acknowledged(self, ranges: list[range], *, ack_delay: float, now: float, space: QuicPacketSpace) -> None:
        """The peer has these packets, by ranges of their numbers, ascending."""
        control = self.control
        if space.is_application_data:
            self._notice_late_packets(ranges, now)
        ack_delay = control.ack_delay = min(ack_delay, self.max_ack_delay)
        largest = ranges[-1].stop - 1
        space.largest_acked_packet = max(space.largest_acked_packet, largest)
        newest: QuicSentPacket | None = None
        is_ack_eliciting = False
        sent = space.sent_packets
        for number in _known(ranges, sent):
            packet = newest = sent.pop(number)
            if packet.is_ack_eliciting:
                is_ack_eliciting = True
                space.ack_eliciting_in_flight -= 1
            if packet.in_flight:
                control.on_packet_acked(packet=packet, now=now)
            for handler, arguments in packet.delivery_handlers:
                handler(QuicDeliveryState.ACKED, *arguments)
        if newest is None:
            return
        if is_ack_eliciting and newest.packet_number == largest:
            self._measured_rtt(now - (newest.sent_time or 0.0), ack_delay=ack_delay, now=now)
        self._detect_loss(now=now, space=space)
        if self.peer_completed_address_validation:
            self._pto_count = 0
        if control.on_ack(now=now) and control.model is not None and control.model.pacing_rate is not None:
            self.pacer.set_rate(control.model.pacing_rate, now=now)

    def _measured_rtt(self, rtt: float, *, ack_delay: float, now: float) -> None:
        """Take up a round trip (RFC 9002 section 5). Like aioquic, none counts as shorter than a millisecond."""
        latest = max(rtt, K_GRANULARITY)
        self._rtt_min = min(self._rtt_min, latest)
        if latest > self._rtt_min + ack_delay:
            latest -= ack_delay
        self._rtt_latest = latest
        if self._rtt_initialized:
            self._rtt_smoothed = 7 / 8 * self._rtt_smoothed + 1 / 8 * latest
            self._rtt_variance = 3 / 4 * self._rtt_variance + 1 / 4 * abs(self._rtt_smoothed - latest)
        else:
            self._rtt_first_sample_time = now
            self._rtt_initialized = True
            self._rtt_smoothed, self._rtt_variance = rtt, rtt / 2
        self.control.on_rtt_measurement(now=now, rtt=rtt)
        self.pacer.update_rate(congestion_window=self.control.congestion_window, smoothed_rtt=self._rtt_smoothed)

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
        if lost:
            self._on_packets_lost(
                now=now, packets=lost, persistent_congestion=self._in_persistent_congestion(packets=lost), space=space
            )

    def _notice_late_packets(self, acknowledged: list[range], now: float) -> None:
        reordering = self.reordering
        if not (numbers := reordering.outstanding()):
            return
        for number in numbers:
            if any(number in numbers_acknowledged for numbers_acknowledged in acknowledged):
                self.control.on_late_packet(reordering.arrived(number))
        reordering.forget_before(now - LATE_ROUND_TRIPS * max(self._rtt_smoothed, K_GRANULARITY))


def _known(ranges: Iterable[range], sent: Mapping[int, object]) -> list[int]:
    """The numbers in `ranges` that are in `sent`, whose keys ascend.

    The peer chooses the ranges, so neither many of them nor long ones may cost more than what is in flight.
    """
    oldest = next(iter(sent), 0)
    numbers: list[int] | None = None
    found: list[int] = []
    for one in ranges:
        start = max(one.start, oldest)
        if one.stop - start <= _FEW:
            found += [number for number in range(start, one.stop) if number in sent]
        else:
            if numbers is None:
                numbers = list(sent)
            found += numbers[bisect_left(numbers, start) : bisect_left(numbers, one.stop)]
    return found
