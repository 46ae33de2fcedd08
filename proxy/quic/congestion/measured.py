"""A congestion controller with a delivery-rate sampler beside it, whichever controller it is."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from aioquic.quic.congestion.base import QuicCongestionControl
from aioquic.quic.packet_builder import QuicSentPacket
from aioquic.tls import Epoch

from proxy.quic.congestion.bbr import Bbr
from proxy.quic.congestion.delivery_rate import DeliveryRateSampler
from proxy.quic.congestion.filters import WindowedMax

RATE_ROUNDS = 10
"""Rounds in which the largest sample is what the path delivers, as for BBR's first version."""


class MeasuredControl(QuicCongestionControl):
    """Passes everything on to `inner` and follows the packets in flight."""

    def __init__(self, inner: QuicCongestionControl, *, name: str) -> None:
        # Not the base class's, which would set a window of its own.
        self.inner = inner
        self.name = name
        self.sampler = DeliveryRateSampler()
        self.model = inner if isinstance(inner, Bbr) else None
        """The inner controller if it wants samples."""
        self.ack_delay = 0.0
        """How long the peer says that it held the acknowledgement back that is being looked at, in seconds."""
        self.shortest_rtt = math.inf
        """The shortest round trip ever, in seconds, with what it was held back."""
        self._rates = WindowedMax(RATE_ROUNDS)
        self._rounds = 0
        self._round_ends_at = 0

    def __repr__(self) -> str:
        return f"<MeasuredControl {self.name} {self.state} cwnd={self.congestion_window}>"

    @property
    def bytes_in_flight(self) -> int:  # type: ignore[override]
        """What the inner controller counts."""
        return self.inner.bytes_in_flight

    @property
    def congestion_window(self) -> int:  # type: ignore[override]
        """The inner controller's."""
        return self.inner.congestion_window

    @property
    def ssthresh(self) -> int | None:  # type: ignore[override]
        """The inner controller's."""
        return self.inner.ssthresh

    @property
    def state(self) -> str:
        """What the controller is about, in a word."""
        if self.model is not None:
            return self.model.state.value
        threshold = self.inner.ssthresh
        slow_start = threshold is None or self.inner.congestion_window < threshold
        return "slow_start" if slow_start else "congestion_avoidance"

    @property
    def delivery_rate_bytes_s(self) -> float:
        """What the path delivers; infinite as long as nothing has shown its limit."""
        if self.model is not None:
            return self.model.model.bw if self.model.knows_path else math.inf
        known = self.inner.ssthresh is not None and self._rates.value > 0
        return self._rates.value if known else math.inf

    def mark_app_limited(self) -> None:
        """There is nothing to be sent; samples show less than the path carries where the window had room."""
        in_flight = self.inner.bytes_in_flight
        if in_flight < self.inner.congestion_window:
            self.sampler.mark_app_limited(in_flight)

    def on_ack(self, *, now: float) -> bool:
        """After each acknowledgement; False if it brought nothing new."""
        sampler = self.sampler
        sample = sampler.take_sample(now=now, min_rtt=self.shortest_rtt)
        if sample is None:
            return False
        sample.rtt = self._without_ack_delay(sample.rtt)
        if self.model is not None:
            self.model.on_sample(sample, delivered=sampler.delivered, app_limited=sampler.app_limited, now=now)
            if self.model.wants_app_limited:
                sampler.mark_app_limited(self.model.bytes_in_flight)
            return True
        if sample.prior_delivered >= self._round_ends_at:
            self._rounds += 1
            self._round_ends_at = sampler.delivered
        if not sample.app_limited or sample.delivery_rate > self._rates.value:
            self._rates.update(sample.delivery_rate, time=self._rounds)
        return True

    def on_late_packet(self, size_bytes: int) -> None:
        """A packet that had been declared lost has arrived."""
        self.sampler.on_late(size_bytes)
        if self.model is not None:
            self.model.on_spurious_loss()

    def _without_ack_delay(self, rtt: float) -> float:
        """The peer is believed as long as the result is not shorter than any round trip (RFC 9002 section 5.3)."""
        return rtt - self.ack_delay if rtt - self.ack_delay >= self.shortest_rtt else rtt

    # What aioquic calls

    def on_packet_sent(self, *, packet: QuicSentPacket) -> None:
        inner = self.inner
        if packet.epoch is Epoch.ONE_RTT:  # a handshake says little, and its signatures differ in length
            self.sampler.on_sent(
                packet.packet_number, packet.sent_bytes, in_flight=inner.bytes_in_flight, now=packet.sent_time or 0.0
            )
        inner.on_packet_sent(packet=packet)

    def on_packet_acked(self, *, now: float, packet: QuicSentPacket) -> None:
        self.sampler.on_acked(packet.packet_number, now=now)
        self.inner.on_packet_acked(now=now, packet=packet)

    def on_packets_expired(self, *, packets: Iterable[QuicSentPacket]) -> None:
        expired = list(packets)
        for packet in expired:
            self.sampler.on_expired(packet.packet_number)
        self.inner.on_packets_expired(packets=expired)

    def on_packets_lost(self, *, now: float, packets: Iterable[QuicSentPacket]) -> None:
        lost = list(packets)
        self.inner.on_packets_lost(now=now, packets=lost)
        sampler = self.sampler
        for packet in lost:
            known = sampler.on_lost(packet.packet_number)
            if known is not None and self.model is not None:
                self.model.on_lost_packet(known, lost=sampler.lost - known.lost, delivered=sampler.delivered, now=now)

    def on_persistent_congestion(self) -> None:
        self.inner.on_persistent_congestion()

    def on_rtt_measurement(self, *, now: float, rtt: float) -> None:
        # Of reno and cubic HyStart (RFC 9406) would take an acknowledgement that was held back for a queue.
        self.shortest_rtt = min(self.shortest_rtt, rtt)
        self.inner.on_rtt_measurement(now=now, rtt=self._without_ack_delay(rtt))

    def get_log_data(self) -> dict[str, Any]:
        return self.inner.get_log_data()
