"""What BBR believes of the path: bandwidth, round trip, and how much may be in flight.

Source: draft-ietf-ccwg-bbr-05 (BBRv3), sections 5.3.1.2 and 5.5, whose names are kept where there is one; the ADR "BBR"
numbers what differs. Rates in bytes a second, volumes in bytes, times in seconds.
"""

from __future__ import annotations

import math

from proxy.quic.congestion.delivery_rate import RateSample
from proxy.quic.congestion.filters import WindowedMax

BETA = 0.7
"""What a round with losses leaves of the short-term bounds at least (section 2.6)."""
HEADROOM = 0.15
"""The share of `inflight_hi` that is left to others while cruising (section 2.6)."""
LOSS_THRESHOLD = 0.02
"""The share of lost bytes that says nothing of congestion (section 2.6)."""
LOSS_DEVIATIONS = 3.0
"""A path that loses 2 % at random loses more than 2 % in half of its rounds. Only a number of losses that such a path
would show in about one of a thousand rounds counts as more: mean plus three deviations of a Poisson distribution, and
the packet that makes it a count."""
LOSS_SHARE_GAIN = 1 / 8
"""What a round adds to the moving average of the losses, as for the round trip (RFC 9002 section 5.3)."""
PACING_MARGIN = 0.99
"""On average a little less than the path's rate, so that queues empty (section 5.6.2)."""
MIN_PIPE_DATAGRAMS = 4
"""The least that is kept in flight (section 2.7)."""
FULL_BW_GROWTH = 1.25
FULL_BW_ROUNDS = 3
"""The pipe is full when so many rounds have not brought so much growth (section 5.3.1.2)."""
HEAVY_LOSS = 0.1
"""The share of lost bytes that says enough without a queue: a buffer that is too short for a queue loses half of what
startup sends above the path's rate."""
MIN_RTT_WINDOW_S = 10.0
PROBE_RTT_INTERVAL_S = 5.0
"""Section 5.3.4."""
SIMILAR_RTT = 1 / 32
SIMILAR_RTT_S = 0.001
"""A round trip this little above the smallest confirms it: there is no need to drain the path in order to learn it.
(Chromium's BBR takes an eighth for similar; a late flow on a shared queue would then take the queue for the path.)
What event loops make of a short way is no queue either."""
EXTRA_ACKED_ROUNDS = 10
"""Section 5.5.9."""


def excessive(lost: int, in_flight: int, datagram_bytes: int) -> bool:
    """Whether so much lost of what was in flight is more than a path with 2 % random loss would show."""
    expected = LOSS_THRESHOLD * in_flight / datagram_bytes
    return lost > (expected + LOSS_DEVIATIONS * math.sqrt(expected) + 1) * datagram_bytes


class PathModel:
    """Fed by samples and losses; the state machine in `bbr` asks it."""

    def __init__(self, *, datagram_bytes: int) -> None:
        self.datagram_bytes = datagram_bytes
        # Rounds
        self.round_count = 0
        self.round_start = False
        self._next_round_delivered = 0
        # Rate
        self.max_bw = 0.0
        self.bw_lo = math.inf
        self._bw_cycles = [0.0, 0.0]
        # Volume
        self.inflight_hi = math.inf
        self.inflight_lo = math.inf
        self.extra_acked = 0.0
        self._extra_acked_max = WindowedMax(1)
        self._extra_acked_since = 0.0
        self._extra_acked_bytes = 0
        # Round trip
        self.min_rtt = math.inf
        self.round_min_rtt = math.inf
        """The smallest round trip of the last round that is over."""
        self.probe_rtt_expired = False
        self._rtt_of_round = math.inf
        self._min_rtt_at = 0.0
        self._probe_rtt_min = math.inf
        self._probe_rtt_min_at = 0.0
        # Full pipe
        self.full_bw_reached = False
        self.full_bw_now = False
        self._full_bw = 0.0
        self._full_bw_count = 0
        # Losses of the current round
        self.loss_round_start = False
        self._loss_round_delivered = 0
        self._lost_in_round = 0
        self._loss_events_in_round = 0
        self._bw_latest = 0.0
        self._inflight_latest = 0
        self.loss_share = 0.0
        """Of what was sent in the last rounds, as a moving average."""
        self._saved_bounds = (math.inf, math.inf, math.inf)

    def __repr__(self) -> str:
        return (
            f"<PathModel bw={self.bw:.0f} B/s min_rtt={self.min_rtt:.6f} inflight_hi={self.inflight_hi:.0f}"
            f" bw_lo={self.bw_lo:.0f}>"
        )

    @property
    def bw(self) -> float:
        """The rate to send at."""
        return min(self.max_bw, self.bw_lo)

    @property
    def cruising_rate(self) -> float:
        """A little less than the path's rate; what is lost on the way to it fills the margin."""
        return self.bw * min(PACING_MARGIN + self.loss_share, 1.0)

    @property
    def min_pipe_bytes(self) -> int:
        """The least that is kept in flight."""
        return MIN_PIPE_DATAGRAMS * self.datagram_bytes

    @property
    def standing_queue_s(self) -> float:
        """By how much all round trips of this round so far were longer than the smallest, in seconds."""
        return self._rtt_of_round - self.min_rtt

    def bdp(self, bw: float) -> float:
        """What the path holds at a rate without a queue; infinite as long as there is no round trip."""
        return bw * self.min_rtt

    def inflight_with_headroom(self) -> float:
        """`inflight_hi` less what is left to others."""
        if self.inflight_hi == math.inf:
            return math.inf
        headroom = max(self.datagram_bytes, HEADROOM * self.inflight_hi)
        return max(self.inflight_hi - headroom, self.min_pipe_bytes)

    # Rounds and rate

    def start_round(self, delivered: int) -> None:
        """The round ends when something sent from now on is acknowledged (section 5.5.1)."""
        self._next_round_delivered = delivered

    def update_round(self, sample: RateSample, delivered: int) -> None:
        """See whether a round trip is over, and keep what the current one has shown (sections 5.5.1, 5.5.10)."""
        self.round_start = sample.prior_delivered >= self._next_round_delivered
        if self.round_start:
            self.start_round(delivered)
            self.round_count += 1
            self.round_min_rtt, self._rtt_of_round = self._rtt_of_round, math.inf
        self._rtt_of_round = min(self._rtt_of_round, sample.rtt)
        self._bw_latest = max(self._bw_latest, sample.delivery_rate)
        self._inflight_latest = max(self._inflight_latest, sample.delivered)
        self.loss_round_start = sample.prior_delivered >= self._loss_round_delivered
        if self.loss_round_start:
            self._loss_round_delivered = delivered

    def update_max_bw(self, sample: RateSample, *, limit: float = math.inf) -> None:
        """The largest rate of this cycle and the one before (section 5.5.5); above `limit` a sample counts as that."""
        rate = min(sample.delivery_rate, limit)
        if rate > 0 and (rate >= self.max_bw or not sample.app_limited):
            self._bw_cycles[1] = max(self._bw_cycles[1], rate)
            self.max_bw = max(self._bw_cycles)

    def advance_max_bw(self) -> None:
        """A new cycle begins; the one before the last is forgotten (section 5.5.6)."""
        if self._bw_cycles[1] > 0:
            self._bw_cycles = [self._bw_cycles[1], 0.0]
            self.max_bw = self._bw_cycles[0]

    def reset_full_bw(self, rate: float = 0.0) -> None:
        """Look afresh whether the pipe is full, from `rate` on."""
        self._full_bw, self._full_bw_count, self.full_bw_now = rate, 0, False

    def check_full_bw(self, sample: RateSample) -> None:
        """Whether the rate has stopped growing (section 5.3.1.2)."""
        if self.full_bw_now or sample.app_limited:
            return
        if sample.delivery_rate >= self._full_bw * FULL_BW_GROWTH:
            self.reset_full_bw(sample.delivery_rate)
            return
        if self.round_start:
            self._full_bw_count += 1
            self.full_bw_now = self._full_bw_count >= FULL_BW_ROUNDS
            self.full_bw_reached = self.full_bw_reached or self.full_bw_now

    def update_extra_acked(self, sample: RateSample, *, cwnd: float, now: float) -> None:
        """How much more than expected is acknowledged at once (section 5.5.9)."""
        expected = self.bw * (now - self._extra_acked_since)
        if self._extra_acked_bytes <= expected:
            self._extra_acked_bytes, self._extra_acked_since, expected = 0, now, 0.0
        self._extra_acked_bytes += sample.newly_acked
        extra = min(self._extra_acked_bytes - expected, cwnd)
        self._extra_acked_max.window = EXTRA_ACKED_ROUNDS if self.full_bw_reached else 1
        self.extra_acked = self._extra_acked_max.update(extra, time=self.round_count)

    def restart_extra_acked(self, now: float) -> None:
        """Nothing was in flight; a pause is no sign of acknowledgements that wait for each other."""
        self._extra_acked_bytes, self._extra_acked_since = 0, now

    # Round trip

    def update_min_rtt(self, rtt: float, *, now: float) -> None:
        """The smallest round trip of the last ten seconds, five of which ask for a probe (section 5.3.4.3)."""
        shortest = self._probe_rtt_min
        similar_s = max(SIMILAR_RTT * shortest, SIMILAR_RTT_S)
        if self.max_bw > 0:
            similar_s += self.datagram_bytes / self.max_bw  # the shortest may be a short packet's
        if shortest < math.inf and rtt <= shortest + similar_s:
            self._probe_rtt_min_at = now
            if self._probe_rtt_min <= self.min_rtt:
                self._min_rtt_at = now
        self.probe_rtt_expired = now > self._probe_rtt_min_at + PROBE_RTT_INTERVAL_S
        if rtt < self._probe_rtt_min or self.probe_rtt_expired:
            self._probe_rtt_min, self._probe_rtt_min_at = rtt, now
        if self._probe_rtt_min < self.min_rtt or now > self._min_rtt_at + MIN_RTT_WINDOW_S:
            self.min_rtt, self._min_rtt_at = self._probe_rtt_min, self._probe_rtt_min_at

    def schedule_probe_rtt(self, now: float) -> None:
        """The round trip has just been probed."""
        self._probe_rtt_min_at = now

    # Losses

    def note_loss(self, lost: int, delivered: int) -> None:
        """Losses were found, outside of samples or before one."""
        if self._loss_events_in_round == 0:
            self._loss_round_delivered = delivered
            self._saved_bounds = (self.bw_lo, self.inflight_lo, self.inflight_hi)
        self._lost_in_round += lost
        self._loss_events_in_round += 1

    def round_lost_too_much(self) -> bool:
        """Whether what the round has lost by now is more than chance."""
        return excessive(self._lost_in_round, self._inflight_latest + self._lost_in_round, self.datagram_bytes)

    def round_lost_heavily(self) -> bool:
        """Whether what the round has lost by now can't be chance on any path worth using."""
        return self._lost_in_round > HEAVY_LOSS * (self._inflight_latest + self._lost_in_round)

    @property
    def inflight_latest(self) -> int:
        """The largest volume that was delivered within a round trip of this round."""
        return self._inflight_latest

    @property
    def loss_events_in_round(self) -> int:
        """How often losses were found in this round."""
        return self._loss_events_in_round

    def adapt_lower_bounds(self, cwnd: int, *, probing: bool) -> None:
        """At the end of a round with losses: go back to what it delivered, by 30 % at most (section 5.5.10.3)."""
        if not self.loss_round_start:
            return
        share = self._lost_in_round / max(self._lost_in_round + self._inflight_latest, 1)
        self.loss_share += LOSS_SHARE_GAIN * (share - self.loss_share)
        if not probing and self.round_lost_too_much():
            bw_lo = self.max_bw if self.bw_lo == math.inf else self.bw_lo
            inflight_lo = cwnd if self.inflight_lo == math.inf else self.inflight_lo
            self.bw_lo = max(self._bw_latest, BETA * bw_lo)
            self.inflight_lo = max(self._inflight_latest, BETA * inflight_lo)
        self._lost_in_round = self._loss_events_in_round = 0

    def advance_latest(self, sample: RateSample) -> None:
        """After all that looks at the round: a new one begins with this sample."""
        if self.loss_round_start:
            self._bw_latest, self._inflight_latest = sample.delivery_rate, sample.delivered

    def reset_lower_bounds(self) -> None:
        """Forget what losses have said of the last rounds."""
        self.bw_lo = self.inflight_lo = math.inf

    def reset_congestion_signals(self) -> None:
        """Forget the losses of the round."""
        self._lost_in_round = self._loss_events_in_round = 0
        self._bw_latest, self._inflight_latest = 0.0, 0

    def undo_losses(self) -> None:
        """What was taken for lost has arrived: back to the bounds before it (section 5.5.11)."""
        bw_lo, inflight_lo, inflight_hi = self._saved_bounds
        self.bw_lo = max(self.bw_lo, bw_lo)
        self.inflight_lo = max(self.inflight_lo, inflight_lo)
        self.inflight_hi = max(self.inflight_hi, inflight_hi)
        self._lost_in_round = self._loss_events_in_round = 0
        self.reset_full_bw()
