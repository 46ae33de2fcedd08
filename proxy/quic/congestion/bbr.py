"""BBR: send at the rate at which the path delivers, and keep in flight what it holds.

Source: draft-ietf-ccwg-bbr-05 (BBRv3), sections 5.3 to 5.6; the ADR "BBR" numbers what differs. Loss is a sign of
congestion only where there is more of it than chance makes (`bbr_model.excessive`).

States: `STARTUP` doubles the rate each round until it stops growing, `DRAIN` empties the queue that this has left. Then
a cycle of two to three seconds: `DOWN` a little slower than the path, `CRUISE` at its rate, `REFILL` for one round
trip, `UP` a quarter faster to find out whether there is more. `PROBE_RTT` goes down to half of what the path holds for
200 ms when no round trip of the last five seconds was as short as the shortest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from aioquic.quic.congestion.base import QuicCongestionControl
from aioquic.quic.packet_builder import QuicSentPacket

from proxy.quic.congestion.bbr_model import BETA, PathModel, excessive
from proxy.quic.congestion.bbr_states import (
    ACCELERATING,
    PACING_GAIN,
    PROBE_BW,
    STEADY,
    AckPhase,
    State,
    cwnd_gain,
    pacing_gain,
)
from proxy.quic.congestion.delivery_rate import RateSample, SentPacket
from proxy.quic.congestion.pacer import MAX_QUANTUM_BYTES, MIN_QUANTUM_DATAGRAMS, QUANTUM_S

PROBE_RTT_DURATION_S = 0.2
MIN_PROBE_WAIT_S = 2.0
PROBE_WAIT_SPREAD_S = 1.0
MAX_PROBE_WAIT_ROUNDS = 63
"""Sections 5.3.3.5 and 5.3.4."""
STARTUP_LOSS_EVENTS = 6
"""Section 5.3.1.3."""
QUEUE_SHARE = 0.25
ALONE_QUEUE_SHARE = 0.1
FOREIGN_SHARE = 0.75
QUEUE_FLOOR_S = 0.002
QUEUED_SAMPLES = 4
"""In `UP`, round trips longer by a quarter in so many samples in a row end the probe: what is sent faster only waits.
(As in BBRv2, whose `UP` ended at 1.25 times what the path holds; v3 waits for three rounds without growth.) The floor
is above what event loops and acknowledgements make of short round trips. A queue below the smaller share is none, and
a flow that is alone ends its probes at it: with the larger one they left 60 to 95 ms of queue (5 Mbit/s, 100 ms).
A round longer than the shortest by the largest share is another flow's doing, or the way has become longer."""
QUEUED_ROUNDS = 2
"""A queue of a quarter of the round trip that stands for so many rounds while nothing is probed is fed by a rate that
is not the path's, or not ours any more: it is forgotten. In `DOWN` what replaces it is a tenth less than the path
gives, so that flows that share a queue give way to each other; the next `UP` brings back what is free."""
ACK_ALLOWANCE_S = 0.002
"""Kept in flight besides, for acknowledgements and wakeups that come late: the peer holds acknowledgements of bulk data
back for 1 ms, and event loops' timers are as coarse (section 5.5.8.2)."""
GOLDEN = 0.6180339887498949
"""Spreads flows' probes without a random generator: runs in virtual time repeat."""


class Bbr(QuicCongestionControl):
    """BBR as a controller for aioquic.

    Aioquic tells of single packets; `on_sample` and `on_lost_packet` come from `recovery` and bring the rest.
    """

    name = "bbr"

    def __init__(self, *, max_datagram_size: int) -> None:
        super().__init__(max_datagram_size=max_datagram_size)
        self.state = State.STARTUP
        self.model = PathModel(datagram_bytes=max_datagram_size)
        self.pacing_rate: float | None = None
        """Bytes a second; None until a round trip was measured."""
        self._initial_window = self.congestion_window
        self._delivered = 0
        self._app_limited = False
        self._cwnd_limited = False
        self._cwnd_limited_round = False
        self._prior_window = 0
        self._idle_restart = False
        self._ack_phase = AckPhase.NONE
        self._cycle_at = 0.0
        self._probe_wait_s = MIN_PROBE_WAIT_S
        self._probe_wait_rounds = 0
        self._probed_at_round = 0
        self._bw_probe_samples = False
        self._up_rounds = 0
        self._up_acked = 0
        self._up_bytes_per_datagram = math.inf
        self._alone = True
        """Whether the queue was seen empty in this cycle or the one before: what stands in it is ours."""
        self._seen_empty = False
        self._fresh = True
        """Whether nothing was probed since startup: a queue is then startup's, too, and often the other direction's,
        whose startup follows ours where answers follow requests. What is acknowledged then shows nothing new.
        """
        self._queued_samples = 0
        self._rtt_before_up = 0.0
        self._queued_rounds = 0
        self._probe_rtt_done_at = 0.0
        self._probe_rtt_round_done = False

    def __repr__(self) -> str:
        return f"<Bbr {self.state.value} cwnd={self.congestion_window} {self.model!r}>"

    @property
    def knows_path(self) -> bool:
        """True once the path's limit has been met."""
        return self.model.full_bw_reached

    @property
    def wants_app_limited(self) -> bool:
        """Whether the rate is held down on purpose, so that samples say nothing of the path."""
        return self.state is State.PROBE_RTT

    def use_datagram_size(self, size_bytes: int) -> None:
        """Packets are this large from now on."""
        self.model.datagram_bytes = size_bytes

    # What aioquic calls

    def on_packet_sent(self, *, packet: QuicSentPacket) -> None:
        now = packet.sent_time or 0.0
        if self.bytes_in_flight == 0 and self._app_limited:
            self._restart_from_idle(now)
        self.bytes_in_flight += packet.sent_bytes
        if self.bytes_in_flight + self.model.datagram_bytes > self.congestion_window:
            self._cwnd_limited = self._cwnd_limited_round = True

    def on_packet_acked(self, *, now: float, packet: QuicSentPacket) -> None:
        self.bytes_in_flight -= packet.sent_bytes

    def on_packets_expired(self, *, packets: Iterable[QuicSentPacket]) -> None:
        for packet in packets:
            self.bytes_in_flight -= packet.sent_bytes

    def on_packets_lost(self, *, now: float, packets: Iterable[QuicSentPacket]) -> None:
        for packet in packets:
            self.bytes_in_flight -= packet.sent_bytes

    def on_persistent_congestion(self) -> None:
        """Nothing came through for long: begin again with little in flight, at the rate that was known."""
        self.model.reset_lower_bounds()
        self.model.reset_congestion_signals()
        self.congestion_window = self.model.min_pipe_bytes

    def on_rtt_measurement(self, *, now: float, rtt: float) -> None:
        if self.pacing_rate is None:
            self.model.update_min_rtt(rtt, now=now)
            self.pacing_rate = PACING_GAIN[State.STARTUP] * self.congestion_window / max(rtt, QUANTUM_S)

    def get_log_data(self) -> dict[str, Any]:
        return {**super().get_log_data(), "bbr_state": self.state.value, "bbr_bw": int(self.model.bw)}

    # What recovery calls

    def on_lost_packet(self, packet: SentPacket, *, lost: int, delivered: int, now: float) -> None:
        """A packet is lost, after it left with `lost` bytes (itself included) of what was sent meanwhile."""
        self._delivered = delivered
        model = self.model
        model.note_loss(packet.size, delivered)
        if not self._bw_probe_samples:
            return
        if excessive(lost, packet.tx_in_flight, model.datagram_bytes):
            self._inflight_too_high(packet.tx_in_flight - packet.size, app_limited=packet.app_limited, now=now)

    def on_spurious_loss(self) -> None:
        """What had been declared lost has arrived."""
        self.model.undo_losses()

    def on_sample(self, sample: RateSample, *, delivered: int, app_limited: bool, now: float) -> None:
        """After each acknowledgement: bring the model up to date, then the state, then rate and window."""
        model = self.model
        self._delivered, self._app_limited = delivered, app_limited
        model.update_round(sample, delivered)
        if model.round_start:
            self._cwnd_limited, self._cwnd_limited_round = self._cwnd_limited_round, False
        # What is sent at a known rate by a flow that is alone, or stood in startup's queue, shows more only where
        # acknowledgements come in a bunch.
        settling = self._fresh and model.full_bw_reached
        known = settling or (self._alone and self.state in STEADY and self._ack_phase is AckPhase.NONE)
        model.update_max_bw(sample, limit=model.max_bw if known else math.inf)
        if self.state is State.STARTUP:
            self._check_startup_loss()
        model.adapt_lower_bounds(self.congestion_window, probing=self.state in ACCELERATING)
        model.update_extra_acked(sample, cwnd=self.congestion_window, now=now)
        model.check_full_bw(sample)
        if self.state is State.STARTUP and model.full_bw_reached:
            self.state = State.DRAIN
            self._seen_empty = True  # the queue is startup's
        if self.state is State.DRAIN and self.bytes_in_flight <= self._inflight(1.0):
            self._start_down(now)
        if model.full_bw_reached:
            self._update_cycle(sample, now)
        model.update_min_rtt(sample.rtt, now=now)
        self._check_probe_rtt(now)
        if sample.delivered > 0:
            self._idle_restart = False
        model.advance_latest(sample)
        if model.standing_queue_s <= max(ALONE_QUEUE_SHARE * model.min_rtt, QUEUE_FLOOR_S):
            self._alone = self._seen_empty = True
        elif model.round_start and not self._fresh and model.round_min_rtt > (1 + FOREIGN_SHARE) * model.min_rtt:
            self._alone = False
        self._set_pacing_rate(
            pacing_gain(self.state, alone=self._alone, queue_s=model.standing_queue_s, rtt_s=model.min_rtt)
        )
        self._set_window(sample)

    # Startup

    def _check_startup_loss(self) -> None:
        """Too much loss ends startup as well (section 5.3.1.3), if there is a queue or it can't be chance.

        A flow that stops early for chance needs seconds to find the rest: its bound on what is in flight grows slowly.
        """
        model = self.model
        if not (model.loss_round_start and model.loss_events_in_round >= STARTUP_LOSS_EVENTS):
            return
        if model.round_lost_heavily() or (model.round_lost_too_much() and self._has_queued()):
            model.full_bw_reached = True
            model.inflight_hi = max(model.bdp(model.max_bw), model.inflight_latest)

    def _has_queued(self) -> bool:
        return self.model.standing_queue_s > max(QUEUE_SHARE * self.model.min_rtt, QUEUE_FLOOR_S)

    # The cycle of bandwidth probes

    def _start_down(self, now: float) -> None:
        model = self.model
        model.reset_congestion_signals()
        self._alone, self._seen_empty = self._seen_empty, False
        self._up_bytes_per_datagram = math.inf
        spread = (self._delivered * GOLDEN) % 1.0
        self._probe_wait_s = MIN_PROBE_WAIT_S + spread * PROBE_WAIT_SPREAD_S
        self._probed_at_round = model.round_count - (1 if spread < 0.5 else 0)  # noqa: PLR2004 - one of two, evenly
        self._cycle_at = now
        self._ack_phase = AckPhase.STOPPING
        model.start_round(self._delivered)
        self.state = State.DOWN

    def _start_refill(self) -> None:
        self._fresh = False
        self.model.reset_lower_bounds()
        self._up_rounds = self._up_acked = 0
        self._ack_phase = AckPhase.REFILLING
        self.model.start_round(self._delivered)
        self.state = State.REFILL

    def _start_up(self, sample: RateSample, now: float) -> None:
        self._bw_probe_samples = True
        self._ack_phase = AckPhase.STARTING
        self._cycle_at = now
        self._queued_samples = 0
        self._rtt_before_up = self.model.round_min_rtt
        self.model.start_round(self._delivered)
        self.model.reset_full_bw(sample.delivery_rate)
        self.state = State.UP
        self._raise_slope()

    def _update_cycle(self, sample: RateSample, now: float) -> None:
        self._adapt_upper_bounds(sample, now)
        self._follow_queue(sample)
        state = self.state
        if state is State.DOWN or state is State.CRUISE:
            if self._is_time_to_probe(now):
                self._start_refill()
            elif state is State.DOWN and self._is_time_to_cruise():
                self.state = State.CRUISE
        elif state is State.REFILL:
            if self.model.round_start:
                self._start_up(sample, now)
        elif state is State.UP and self._is_time_to_go_down(sample):
            self._start_down(now)

    def _follow_queue(self, sample: RateSample) -> None:
        """Forget a rate that feeds a queue."""
        model = self.model
        steady = self._ack_phase is AckPhase.NONE and self.state in STEADY
        if self._fresh or not steady or not model.round_start:
            return
        queue_s = model.round_min_rtt - model.min_rtt
        if sample.app_limited or queue_s <= max(QUEUE_SHARE * model.min_rtt, QUEUE_FLOOR_S):
            self._queued_rounds = 0
            return
        self._queued_rounds += 1
        if self._queued_rounds >= QUEUED_ROUNDS:
            self._queued_rounds = 0
            model.advance_max_bw()

    def _is_time_to_probe(self, now: float) -> bool:
        if now > self._cycle_at + self._probe_wait_s:
            return True
        # As often as Reno would with as much in flight (section 5.3.3.5.1).
        datagrams = min(self.model.bdp(self.model.bw), self.congestion_window) / self.model.datagram_bytes
        return self.model.round_count - self._probed_at_round >= min(datagrams, MAX_PROBE_WAIT_ROUNDS)

    def _is_time_to_cruise(self) -> bool:
        if self.bytes_in_flight > self.model.inflight_with_headroom():
            return False
        return self.bytes_in_flight <= self.model.bdp(self.model.max_bw)

    def _is_time_to_go_down(self, sample: RateSample) -> bool:
        model = self.model
        if self._cwnd_limited and self.congestion_window >= model.inflight_hi:
            model.reset_full_bw(sample.delivery_rate)  # the bound keeps the rate from growing
        elif model.full_bw_now:
            return True
        queue_s = sample.rtt - self._rtt_before_up
        share = ALONE_QUEUE_SHARE if self._alone else QUEUE_SHARE
        if queue_s > max(share * model.min_rtt, QUEUE_FLOOR_S):
            self._queued_samples += 1
        else:
            self._queued_samples = 0
        return self._queued_samples >= QUEUED_SAMPLES

    def _raise_slope(self) -> None:
        growth = self.model.datagram_bytes * 2 ** min(self._up_rounds, 30)
        self._up_rounds += 1
        self._up_bytes_per_datagram = max(self.congestion_window * self.model.datagram_bytes / growth, 1.0)

    def _adapt_upper_bounds(self, sample: RateSample, now: float) -> None:
        """Follow what the probe brings (section 5.3.3.6)."""
        model = self.model
        if model.round_start:
            if self._ack_phase is AckPhase.STARTING:
                self._ack_phase = AckPhase.FEEDBACK
            elif self._ack_phase is AckPhase.STOPPING:
                self._bw_probe_samples = False
                if self.state in PROBE_BW and not sample.app_limited:
                    model.advance_max_bw()
                self._ack_phase = AckPhase.NONE
        if excessive(sample.lost, sample.tx_in_flight, model.datagram_bytes):
            if self._bw_probe_samples:
                self._inflight_too_high(sample.tx_in_flight, app_limited=sample.app_limited, now=now)
            return
        if model.inflight_hi == math.inf:
            return
        model.inflight_hi = max(model.inflight_hi, sample.tx_in_flight)
        if self.state is State.UP and self._cwnd_limited and self.congestion_window >= model.inflight_hi:
            self._up_acked += sample.newly_acked
            if self._up_acked >= self._up_bytes_per_datagram:
                datagrams = int(self._up_acked / self._up_bytes_per_datagram)
                self._up_acked -= int(datagrams * self._up_bytes_per_datagram)
                model.inflight_hi += datagrams * model.datagram_bytes
            if model.round_start:
                self._raise_slope()

    def _inflight_too_high(self, tx_in_flight: int, *, app_limited: bool, now: float) -> None:
        """The probe has met the path's limit (section 5.5.10.2)."""
        self._bw_probe_samples = False
        model = self.model
        if not app_limited:
            target = min(model.bdp(model.bw), self.congestion_window)
            model.inflight_hi = max(tx_in_flight, BETA * target, model.min_pipe_bytes)
        if self.state is State.UP:
            self._start_down(now)

    # Round trip

    def _check_probe_rtt(self, now: float) -> None:
        if self.state is not State.PROBE_RTT:
            if self.model.probe_rtt_expired and not self._idle_restart:
                self._prior_window = self.congestion_window
                self.state = State.PROBE_RTT
                self._probe_rtt_done_at = 0.0
                self._ack_phase = AckPhase.STOPPING
                self.model.start_round(self._delivered)
            else:
                return
        if self._probe_rtt_done_at == 0.0:
            if self.bytes_in_flight <= self._probe_rtt_window():
                self._probe_rtt_done_at = now + PROBE_RTT_DURATION_S
                self._probe_rtt_round_done = False
                self.model.start_round(self._delivered)
            return
        self._probe_rtt_round_done = self._probe_rtt_round_done or self.model.round_start
        if self._probe_rtt_round_done:
            self._end_probe_rtt(now)

    def _end_probe_rtt(self, now: float) -> None:
        if self._probe_rtt_done_at == 0.0 or now <= self._probe_rtt_done_at:
            return
        self.model.schedule_probe_rtt(now)
        self.congestion_window = max(self.congestion_window, self._prior_window)
        self.model.reset_lower_bounds()
        if self.model.full_bw_reached:
            self._start_down(now)
            self.state = State.CRUISE
        else:
            self.state = State.STARTUP

    def _restart_from_idle(self, now: float) -> None:
        """Send at the known rate at once (section 5.4.1)."""
        self._idle_restart = True
        self.model.restart_extra_acked(now)
        if self.state in PROBE_BW:
            self._set_pacing_rate(1.0)
        elif self.state is State.PROBE_RTT:
            self._end_probe_rtt(now)

    # Rate and window

    def _set_pacing_rate(self, gain: float) -> None:
        rate = gain * self.model.cruising_rate
        if rate > 0 and (self.model.full_bw_reached or self.pacing_rate is None or rate > self.pacing_rate):
            self.pacing_rate = rate

    def _inflight(self, gain: float) -> float:
        """`gain` times what the path holds, and what packets that leave and are acknowledged in groups need."""
        model = self.model
        if model.min_rtt == math.inf or model.max_bw == 0:
            return self._initial_window
        datagram = model.datagram_bytes
        rate = self.pacing_rate or 0.0
        quantum = max(min(rate * QUANTUM_S, MAX_QUANTUM_BYTES), MIN_QUANTUM_DATAGRAMS * datagram)
        inflight = gain * model.bdp(model.bw) + model.extra_acked * (gain > 1)
        return max(inflight, model.min_pipe_bytes) + max(quantum, rate * ACK_ALLOWANCE_S)

    def _probe_rtt_window(self) -> float:
        gain = cwnd_gain(State.PROBE_RTT, alone=self._alone)
        return max(gain * self.model.bdp(self.model.bw), self.model.min_pipe_bytes)

    def _set_window(self, sample: RateSample) -> None:
        """Section 5.6.4."""
        model = self.model
        target = self._inflight(cwnd_gain(self.state, alone=self._alone))
        window: float = self.congestion_window
        if model.full_bw_reached:
            window = min(window + sample.newly_acked, target)
        elif window < target or self._delivered < self._initial_window:
            window += sample.newly_acked
        if self.state is State.PROBE_RTT:
            window = min(window, self._probe_rtt_window())
            bound = model.inflight_with_headroom()
        elif self.state is State.CRUISE:
            bound = model.inflight_with_headroom()
        else:
            bound = model.inflight_hi if self.state in PROBE_BW else math.inf
        bound = max(min(bound, model.inflight_lo), model.min_pipe_bytes)
        self.congestion_window = int(max(min(window, bound), model.min_pipe_bytes))
