"""What BBR believes of the path."""

from __future__ import annotations

import math
import random

import pytest

from proxy.quic.congestion.bbr_model import PathModel, excessive
from tests.unit.quic.congestion.samples import SIZE, sample


def model() -> PathModel:
    return PathModel(datagram_bytes=SIZE)


def rounds(path: PathModel, count: int, rate: float, *, app_limited: bool = False, lost: int = 0) -> None:
    """So many round trips of ten packets; `lost` bytes are lost in each."""
    for _ in range(count):
        delivered = path.round_count * 10 * SIZE
        if lost:
            path.note_loss(lost, delivered)
        seen = sample(rate, prior_delivered=delivered, app_limited=app_limited)
        path.update_round(seen, delivered + 10 * SIZE)
        path.update_max_bw(seen)
        path.adapt_lower_bounds(20 * SIZE, probing=False)
        path.check_full_bw(seen)
        path.advance_latest(seen)


def test_chance_at_two_per_cent_is_no_excess() -> None:
    rng = random.Random(1)
    for packets, share in ((10, 0.005), (43, 0.003), (400, 0.003)):
        flagged = sum(
            excessive(SIZE * sum(rng.random() < 0.02 for _ in range(packets)), packets * SIZE, SIZE) for _ in range(500)
        )
        assert flagged / 500 <= share + 0.01
    assert excessive(5 * SIZE, 43 * SIZE, SIZE)
    assert not excessive(4 * SIZE, 43 * SIZE, SIZE)
    assert excessive(40 * SIZE, 1000 * SIZE, SIZE)


def test_a_sample_above_the_limit_counts_as_the_limit() -> None:
    path = model()
    path.update_max_bw(sample(100_000.0))
    path.update_max_bw(sample(107_000.0), limit=path.max_bw)
    assert path.max_bw == 100_000.0
    path.update_max_bw(sample(107_000.0))
    assert path.max_bw == 107_000.0


def test_what_stands_in_the_queue_is_the_shortest_wait_of_the_round() -> None:
    path = model()
    path.update_min_rtt(0.1, now=0.0)
    for rtt, standing_s in ((0.13, 0.03), (0.12, 0.02), (0.15, 0.02)):
        path.update_round(sample(rtt=rtt, prior_delivered=-1), SIZE)
        assert path.standing_queue_s == pytest.approx(standing_s)


def test_the_largest_rate_lives_for_two_cycles() -> None:
    path = model()
    rounds(path, 1, 200_000)
    seen = []
    for rate in (100_000.0, 90_000.0, 80_000.0):
        path.advance_max_bw()
        rounds(path, 1, rate)
        seen.append(path.max_bw)
    assert seen == [200_000, 100_000, 90_000]


def test_a_cycle_without_samples_forgets_nothing() -> None:
    path = model()
    rounds(path, 1, 200_000)
    for _ in range(5):
        path.advance_max_bw()
    assert path.max_bw == 200_000


def test_a_sample_limited_by_the_application_can_only_raise_the_rate() -> None:
    path = model()
    rounds(path, 1, 100_000)
    path.advance_max_bw()
    rounds(path, 1, 50_000, app_limited=True)
    path.advance_max_bw()
    assert path.max_bw == 100_000
    rounds(path, 1, 120_000, app_limited=True)
    assert path.max_bw == 120_000


def test_three_rounds_without_growth_fill_the_pipe() -> None:
    path = model()
    rounds(path, 1, 100_000)
    rounds(path, 1, 130_000)
    rounds(path, 10, 130_000, app_limited=True)
    rounds(path, 2, 150_000)
    before = path.full_bw_reached
    rounds(path, 1, 150_000)
    assert (before, path.full_bw_reached, path.full_bw_now) == (False, True, True)
    path.reset_full_bw(150_000)
    assert (path.full_bw_reached, path.full_bw_now) == (True, False)


def test_a_tenth_lost_is_heavy() -> None:
    path = model()
    path.update_round(sample(delivered=90 * SIZE), 90 * SIZE)
    path.note_loss(10 * SIZE, 90 * SIZE)
    assert not path.round_lost_heavily()
    path.note_loss(SIZE, 90 * SIZE)
    assert path.round_lost_heavily()


def test_few_losses_change_no_bound_and_many_do() -> None:
    path = model()
    rounds(path, 3, 100_000)
    rounds(path, 1, 90_000, lost=SIZE)
    assert (path.bw, path.inflight_lo) == (100_000, math.inf)
    rounds(path, 1, 50_000, lost=4 * SIZE)
    assert path.bw == pytest.approx(90_000)  # the round before it still counts, as the latest that was delivered
    rounds(path, 1, 50_000, lost=4 * SIZE)
    assert path.bw == pytest.approx(63_000)
    assert path.inflight_lo == pytest.approx(max(0.7 * 0.7 * 20 * SIZE, 10 * SIZE))
    path.undo_losses()
    assert path.bw == pytest.approx(90_000)
    path.reset_lower_bounds()
    assert path.bw == 100_000


def test_the_shortest_round_trip_is_believed_for_ten_seconds() -> None:
    path = model()
    path.update_min_rtt(0.1, now=0.0)
    path.update_min_rtt(0.15, now=4.9)
    assert (path.min_rtt, path.probe_rtt_expired) == (0.1, False)
    path.update_min_rtt(0.15, now=5.1)
    assert (path.min_rtt, path.probe_rtt_expired) == (0.1, True)
    path.schedule_probe_rtt(5.3)
    path.update_min_rtt(0.15, now=10.1)
    assert path.min_rtt == 0.15


def test_a_round_trip_nearly_as_short_makes_a_probe_needless() -> None:
    path = model()
    path.update_min_rtt(0.1, now=0.0)
    for second in range(1, 60):
        path.update_min_rtt(0.103, now=float(second))
        assert not path.probe_rtt_expired
    assert path.min_rtt == 0.1


def test_a_short_packet_s_round_trip_is_confirmed_by_a_long_one_s() -> None:
    path = model()
    path.update_max_bw(sample(100_000.0))  # 10 ms a packet
    path.update_min_rtt(0.1, now=0.0)
    for second in range(1, 60):
        path.update_min_rtt(0.112, now=float(second))
        assert not path.probe_rtt_expired
    path.update_min_rtt(0.115, now=66.0)
    assert path.probe_rtt_expired


def test_on_a_short_way_a_millisecond_is_no_queue() -> None:
    path = model()
    path.update_min_rtt(0.0001, now=0.0)
    for second in range(1, 60):
        path.update_min_rtt(0.0009, now=float(second))
        assert not path.probe_rtt_expired
    path.update_min_rtt(0.0015, now=66.0)
    assert path.probe_rtt_expired


def test_acknowledgements_that_come_in_groups_are_allowed_for() -> None:
    path = model()
    rounds(path, 5, 100_000)
    path.restart_extra_acked(0.0)
    for group in range(5):
        path.update_extra_acked(sample(newly_acked=5 * SIZE), cwnd=20 * SIZE, now=0.05 * group)
    assert path.extra_acked == pytest.approx(5 * SIZE)


def test_headroom_and_product() -> None:
    path = model()
    assert path.inflight_with_headroom() == math.inf
    path.inflight_hi = 100 * SIZE
    assert path.inflight_with_headroom() == 85 * SIZE
    path.inflight_hi = 4 * SIZE
    assert path.inflight_with_headroom() == path.min_pipe_bytes == 4 * SIZE
    rounds(path, 1, 100_000)
    path.update_min_rtt(0.1, now=0.0)
    assert path.bdp(path.bw) == pytest.approx(10_000)
    assert repr(path) == "<PathModel bw=100000 B/s min_rtt=0.100000 inflight_hi=4000 bw_lo=inf>"
