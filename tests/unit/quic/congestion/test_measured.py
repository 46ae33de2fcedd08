"""A sampler beside whatever controller there is."""

from __future__ import annotations

import math

import pytest
from aioquic.quic.congestion.base import QuicCongestionControl, create_congestion_control
from aioquic.quic.packet import QuicPacketType
from aioquic.quic.packet_builder import QuicSentPacket
from aioquic.tls import Epoch

import proxy.quic.congestion.recovery  # noqa: F401 -- registers bbr
from proxy.quic.congestion.bbr import Bbr
from proxy.quic.congestion.measured import MeasuredControl

SIZE = 1000


class Flow:
    """Packets that leave, arrive and get lost, one after the other."""

    def __init__(self, name: str) -> None:
        self.inner: QuicCongestionControl = create_congestion_control(name, max_datagram_size=SIZE)
        self.control = MeasuredControl(self.inner, name=name)
        self.number = 0

    def send(self, now: float, epoch: Epoch = Epoch.ONE_RTT) -> QuicSentPacket:
        packet = QuicSentPacket(epoch, True, True, False, self.number, QuicPacketType.ONE_RTT)
        packet.sent_time, packet.sent_bytes = now, SIZE
        self.control.on_packet_sent(packet=packet)
        self.number += 1
        return packet

    def acknowledge(self, *packets: QuicSentPacket, now: float) -> bool:
        for packet in packets:
            self.control.on_packet_acked(now=now, packet=packet)
            self.control.on_rtt_measurement(now=now, rtt=now - (packet.sent_time or 0.0))
        return self.control.on_ack(now=now)


def test_bbr_is_registered() -> None:
    assert isinstance(create_congestion_control("bbr", max_datagram_size=SIZE), Bbr)


@pytest.mark.parametrize("name", ["reno", "cubic", "bbr"])
def test_the_rate_is_unknown_until_a_limit_was_met(name: str) -> None:
    flow = Flow(name)
    packet = flow.send(0.0)
    assert flow.control.bytes_in_flight == SIZE
    flow.acknowledge(packet, now=0.1)
    assert flow.control.delivery_rate_bytes_s == math.inf
    assert flow.control.bytes_in_flight == 0
    assert flow.control.state in {"slow_start", "startup"}


@pytest.mark.parametrize("name", ["reno", "cubic"])
def test_after_a_loss_it_is_the_largest_of_ten_rounds(name: str) -> None:
    flow = Flow(name)
    flow.control.on_packets_lost(now=0.1, packets=[flow.send(0.05)])
    rates = []
    for turn in range(13):
        sent = [flow.send(1.0 + turn) for _ in range(4 if turn == 0 else 2)]
        flow.acknowledge(*sent, now=1.1 + turn)
        rates.append(flow.control.delivery_rate_bytes_s)
    assert rates[0] == rates[9] == pytest.approx(40_000)
    assert rates[12] == pytest.approx(20_000)
    assert flow.control.state == "congestion_avoidance"
    assert flow.control.ssthresh is not None


def test_a_quiet_application_does_not_lower_it() -> None:
    flow = Flow("reno")
    flow.control.on_packets_lost(now=0.1, packets=[flow.send(0.05)])
    flow.acknowledge(*[flow.send(1.0) for _ in range(4)], now=1.1)
    for turn in range(30):
        flow.control.mark_app_limited()
        flow.acknowledge(flow.send(2.0 + turn), now=2.1 + turn)
    assert flow.control.delivery_rate_bytes_s == pytest.approx(40_000)


def test_a_full_window_is_not_the_applications_doing() -> None:
    flow = Flow("reno")
    for _ in range(10):
        flow.send(0.0)
    flow.control.mark_app_limited()
    full = flow.control.sampler.app_limited
    flow.control.on_packets_expired(packets=[])
    flow.control.on_persistent_congestion()
    assert (full, flow.control.congestion_window) == (False, 2 * SIZE)


def test_the_time_that_an_acknowledgement_was_held_back_is_no_round_trip() -> None:
    flow = Flow("bbr")
    flow.control.on_rtt_measurement(now=0.0, rtt=0.1)
    flow.control.ack_delay = 0.02
    flow.acknowledge(flow.send(1.0), now=1.12)
    bbr = flow.control.model
    assert bbr is not None
    assert bbr.model.min_rtt == pytest.approx(0.1)
    flow.control.ack_delay = 0.025  # more than there was: the peer is not believed
    flow.acknowledge(flow.send(2.0), now=2.11)
    assert bbr.model.min_rtt == pytest.approx(0.1)


def test_the_handshake_is_not_measured() -> None:
    flow = Flow("reno")
    assert not flow.acknowledge(flow.send(0.0, Epoch.HANDSHAKE), now=0.1)
    assert flow.control.sampler.delivered == 0
    assert flow.control.get_log_data()["bytes_in_flight"] == 0
    assert repr(flow.control) == "<MeasuredControl reno slow_start cwnd=10000>"
