"""BBR's states, rates and windows, with a path that is played to it packet by packet.

Whole connections are in `tests/scenario/test_congestion.py`.
"""

from __future__ import annotations

from collections import deque

import pytest
from aioquic.quic.packet import QuicPacketType
from aioquic.quic.packet_builder import QuicSentPacket
from aioquic.tls import Epoch

from proxy.quic.congestion.bbr import Bbr
from proxy.quic.congestion.bbr_states import State
from proxy.quic.congestion.measured import MeasuredControl
from tests.unit.quic.congestion.samples import sample

SIZE = 1000
RATE = 1_000_000.0
RTT = 0.05


class Path:
    """A path of a megabyte a second and 50 ms that a controller fills; the queue has room for all."""

    def __init__(self, *, rate: float = RATE, rtt: float = RTT) -> None:
        self.rate = rate
        self.rtt = rtt
        self.now = 100.0
        self.bbr = Bbr(max_datagram_size=SIZE)
        self.control = MeasuredControl(self.bbr, name="bbr")
        self.states: list[State] = [State.STARTUP]
        self.queue_s: list[float] = []
        self._number = 0
        self._idle_at = 0.0
        self._next_send_at = 0.0
        self._flying: deque[tuple[float, QuicSentPacket]] = deque()
        self.lose: set[int] = set()
        self.began_at = self.now

    def leave_startup(self) -> None:
        while self.bbr.state is State.STARTUP:
            self.run(RTT / 10)

    def run(self, seconds: float, *, busy: bool = True) -> None:
        end_at = self.now + seconds
        while self.now < end_at:
            arrival = self._flying[0][0] if self._flying else end_at
            window = self.bbr.bytes_in_flight + SIZE <= self.bbr.congestion_window
            sending = max(self._next_send_at, self.now) if busy and window else end_at
            self.now = min(arrival, sending, end_at)
            if self.now == arrival and self._flying:
                self._acknowledge()
            elif self.now < end_at:
                self._send()
            if not busy:
                self.control.mark_app_limited()

    def _send(self) -> None:
        packet = QuicSentPacket(Epoch.ONE_RTT, True, True, False, self._number, QuicPacketType.ONE_RTT)
        packet.sent_time, packet.sent_bytes = self.now, SIZE
        self.control.on_packet_sent(packet=packet)
        self._next_send_at = self.now + SIZE / (self.bbr.pacing_rate or 1e9)
        self.queue_s.append(max(self._idle_at - self.now, 0.0))
        self._idle_at = max(self._idle_at, self.now) + SIZE / self.rate
        self._flying.append((self._idle_at + self.rtt, packet))
        self._number += 1

    def _acknowledge(self) -> None:
        _, packet = self._flying.popleft()
        if packet.packet_number in self.lose:
            self.control.on_packets_lost(now=self.now, packets=[packet])
            return
        self.control.on_packet_acked(now=self.now, packet=packet)
        self.control.on_rtt_measurement(now=self.now, rtt=self.now - (packet.sent_time or 0.0))
        self.control.on_ack(now=self.now)
        if self.states[-1] is not self.bbr.state:
            self.states.append(self.bbr.state)

    @property
    def next_number(self) -> int:
        return self._number


def test_startup_finds_the_rate_and_the_cycle_follows() -> None:
    path = Path()
    path.run(3.6)
    assert path.states[:6] == [State.STARTUP, State.DRAIN, State.DOWN, State.CRUISE, State.REFILL, State.UP]
    assert path.bbr.model.max_bw == pytest.approx(RATE, rel=0.01)
    assert path.bbr.model.min_rtt == pytest.approx(RTT, rel=0.03)
    assert path.control.delivery_rate_bytes_s == pytest.approx(RATE, rel=0.01)


def test_a_queue_that_the_other_direction_makes_does_not_end_startup() -> None:
    """It costs a round its growth, and the round trips are as long as with a queue of ours."""
    path = Path()
    path.run(2.5 * RTT)
    path.rtt = 1.4 * RTT
    path.run(1.5 * RTT)
    path.rtt = 1.8 * RTT
    path.leave_startup()
    assert path.bbr.model.max_bw == pytest.approx(RATE, rel=0.01)


def test_what_startup_leaves_behind_raises_the_rate_no_more() -> None:
    """Out of two full queues acknowledgements come in bunches: here one in the drain, and one in the round after it."""
    path = Path()
    path.leave_startup()
    bbr, bunch = path.bbr, sample(1.3 * RATE, rtt=2 * RTT)

    def acknowledge() -> None:
        bbr.on_sample(bunch, delivered=path.control.sampler.delivered, app_limited=False, now=path.now)

    acknowledge()
    while bbr.state is State.DRAIN:
        path.run(RTT / 10)
    acknowledge()
    assert bbr.model.max_bw == pytest.approx(RATE, rel=0.02)
    while bbr.state is not State.UP:
        path.run(RTT / 10)
    path.run(1.5 * RTT)
    acknowledge()
    assert bbr.model.max_bw == pytest.approx(1.3 * RATE)


def test_the_other_direction_s_startup_does_not_make_startup_s_rate_forgotten() -> None:
    """Its queue stands in our round trips for as long as it takes to find its rate."""
    path = Path()
    path.leave_startup()
    path.rtt = 1.9 * RTT
    while path.bbr.state is not State.REFILL:
        path.run(RTT / 10)
    assert path.bbr.model.max_bw == pytest.approx(RATE, rel=0.02)
    assert path.bbr.pacing_rate == pytest.approx(RATE, rel=0.1)


@pytest.mark.parametrize(("one_in", "stops_early"), [(4, True), (12, False), (25, False)])
def test_startup_stops_for_losses_that_are_heavy_or_come_with_a_queue(one_in: int, *, stops_early: bool) -> None:
    path = Path()
    path.lose = set(range(20, 2000, one_in))
    path.leave_startup()
    assert (path.bbr.model.inflight_hi < RATE * RTT) is stops_early
    assert (path.bbr.model.max_bw < 0.8 * RATE) is stops_early


@pytest.mark.slow
def test_the_queue_stays_short() -> None:
    path = Path()
    path.run(2.0)
    path.queue_s.clear()
    path.run(10.0)
    assert sum(path.queue_s) / len(path.queue_s) < RTT / 4
    assert max(path.queue_s) < RTT / 3
    assert State.PROBE_RTT not in path.states  # the queue goes away by itself in each cycle


@pytest.mark.slow
def test_a_rate_that_rises_is_found() -> None:
    path = Path()
    path.run(3.0)
    path.rate = 4 * RATE
    path.run(6.0)
    assert path.bbr.model.max_bw == pytest.approx(4 * RATE, rel=0.02)


def test_a_rate_that_falls_is_found_before_the_next_probe() -> None:
    path = Path()
    path.run(3.0)
    path.rate = RATE / 4
    path.run(2.0)
    assert path.bbr.model.max_bw == pytest.approx(RATE / 4, rel=0.15)


@pytest.mark.slow
def test_a_longer_way_is_learned_by_a_probe_of_the_round_trip() -> None:
    path = Path()
    path.run(3.0)
    path.rtt = 2 * RTT
    path.run(16.0)
    assert State.PROBE_RTT in path.states
    assert path.bbr.model.min_rtt == pytest.approx(2 * RTT, rel=0.03)
    assert path.bbr.model.max_bw == pytest.approx(RATE, rel=0.02)


def test_an_idle_connection_keeps_what_it_knows_and_begins_at_that_rate() -> None:
    path = Path()
    path.run(3.0)
    path.run(60.0, busy=False)
    assert path.bbr.bytes_in_flight == 0
    path.queue_s.clear()
    path.run(0.2)
    assert path.bbr.pacing_rate == pytest.approx(RATE, rel=0.3)
    assert len(path.queue_s) * SIZE == pytest.approx(0.2 * RATE, rel=0.3)
    assert max(path.queue_s) < RTT / 2


def test_single_losses_change_nothing() -> None:
    path = Path()
    path.run(3.0)
    path.lose = set(range(path.next_number, path.next_number + 3000, 60))
    path.run(3.0)
    assert path.bbr.model.bw == pytest.approx(RATE, rel=0.02)


def test_many_losses_in_a_round_take_the_rate_down_and_it_comes_back() -> None:
    path = Path()
    path.run(3.8)
    path.lose = set(range(path.next_number, path.next_number + 600, 3))
    path.run(0.4)
    assert path.bbr.model.bw < 0.95 * RATE
    path.run(6.0)
    assert path.bbr.model.bw == pytest.approx(RATE, rel=0.02)


def test_losses_that_were_none_are_undone() -> None:
    path = Path()
    path.run(3.8)
    path.lose = set(range(path.next_number, path.next_number + 100, 3))
    path.run(0.25)
    lowered = path.bbr.model.bw
    path.control.on_late_packet(SIZE)
    assert path.bbr.model.bw >= lowered


def test_persistent_congestion_leaves_four_packets_and_the_rate() -> None:
    path = Path()
    path.run(3.0)
    path.bbr.on_persistent_congestion()
    window = path.bbr.congestion_window
    path.run(0.5)
    assert window == 4 * SIZE
    assert path.bbr.congestion_window > 50 * SIZE


def test_before_a_round_trip_nothing_is_paced() -> None:
    bbr = Bbr(max_datagram_size=SIZE)
    assert (bbr.pacing_rate, bbr.congestion_window, bbr.knows_path) == (None, 10 * SIZE, False)
    bbr.on_rtt_measurement(now=1.0, rtt=0.1)
    assert bbr.pacing_rate == pytest.approx(2.77 * 10 * SIZE / 0.1)
    assert repr(bbr).startswith("<Bbr startup cwnd=10000 <PathModel bw=0 B/s min_rtt=0.100000")
    assert bbr.get_log_data()["bbr_state"] == "startup"


def test_larger_packets_are_counted_as_such() -> None:
    bbr = Bbr(max_datagram_size=SIZE)
    bbr.use_datagram_size(9000)
    assert bbr.model.min_pipe_bytes == 36_000
