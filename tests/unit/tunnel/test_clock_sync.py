from __future__ import annotations

import pytest

from proxy.tunnel.clock_sync import ClockOffset, ClockSync, RoundTrip


def exchange(
    clocks: ClockSync, *, at: float, offset_s: float, up_s: float, down_s: float, work_s: float = 0.0
) -> ClockOffset:
    """One exchange with a peer whose clock is `offset_s` ahead; returns the best estimate."""
    received_at = at + up_s + offset_s
    return clocks.add_sample(
        sent_at=at, received_at=received_at, answered_at=received_at + work_s, now=at + up_s + work_s + down_s
    )


def test_the_offset_is_exact_when_both_ways_take_as_long() -> None:
    clocks = ClockSync()
    best = exchange(clocks, at=100.0, offset_s=5.0, up_s=0.05, down_s=0.05, work_s=0.3)
    assert best.offset_s == pytest.approx(5.0)
    assert best.round_trip_s == pytest.approx(0.1)
    assert clocks.best == best


def test_a_peer_s_clock_may_be_far_behind() -> None:
    assert exchange(ClockSync(), at=1e6, offset_s=-999_000.0, up_s=0.05, down_s=0.05).offset_s == pytest.approx(-999e3)


def test_uneven_ways_cost_at_most_half_of_the_round_trip() -> None:
    best = exchange(ClockSync(), at=100.0, offset_s=5.0, up_s=0.2, down_s=0.0)
    assert best.offset_s == pytest.approx(5.1)
    assert best.round_trip_s == pytest.approx(0.2)


def test_the_sample_with_the_least_round_trip_is_believed() -> None:
    clocks = ClockSync()
    exchange(clocks, at=100.0, offset_s=5.0, up_s=0.9, down_s=0.1)
    exchange(clocks, at=102.0, offset_s=5.0, up_s=0.05, down_s=0.05)
    best = exchange(clocks, at=104.0, offset_s=5.0, up_s=0.1, down_s=0.8)
    assert best.offset_s == pytest.approx(5.0)
    assert best.round_trip_s == pytest.approx(0.1)


def test_samples_count_for_thirty_seconds() -> None:
    clocks = ClockSync()
    exchange(clocks, at=100.0, offset_s=5.0, up_s=0.01, down_s=0.01)
    within = exchange(clocks, at=129.5, offset_s=6.0, up_s=0.02, down_s=0.02)
    assert within.offset_s == pytest.approx(5.0)
    past = exchange(clocks, at=130.5, offset_s=6.0, up_s=0.1, down_s=0.1)
    assert past.offset_s == pytest.approx(6.0, abs=0.01)


def test_an_answer_that_seems_to_come_before_its_question_took_no_time() -> None:
    best = ClockSync().add_sample(sent_at=1.0, received_at=1.0, answered_at=1.5, now=1.25)
    assert best.round_trip_s == 0.0


def test_the_round_trip_follows_what_exchanges_take() -> None:
    clocks = ClockSync()
    exchange(clocks, at=100.0, offset_s=5.0, up_s=0.05, down_s=0.05, work_s=0.3)
    assert clocks.round_trip is not None
    assert (clocks.round_trip.smoothed_s, clocks.round_trip.deviation_s) == pytest.approx((0.1, 0.05))
    exchange(clocks, at=101.0, offset_s=5.0, up_s=0.05, down_s=0.85)
    assert (clocks.round_trip.smoothed_s, clocks.round_trip.deviation_s) == pytest.approx((0.5, 0.2375))
    for at in range(102, 122):
        exchange(clocks, at=at, offset_s=5.0, up_s=0.1, down_s=0.1)
    assert (clocks.round_trip.smoothed_s, clocks.round_trip.deviation_s) == pytest.approx((0.2, 0.0), abs=0.01)


def test_a_sample_leaves_what_was_known_before() -> None:
    known = RoundTrip(0.1, 0.0)
    assert known.with_sample(0.3).smoothed_s == pytest.approx(0.2)
    assert known == RoundTrip(0.1, 0.0)


def test_before_the_first_sample_nothing_is_known() -> None:
    clocks = ClockSync()
    assert clocks.best is None
    assert clocks.round_trip is None
    assert repr(clocks) == "<ClockSync samples=0 best=None>"
    exchange(clocks, at=0.0, offset_s=2.0, up_s=0.25, down_s=0.25)
    assert repr(clocks) == "<ClockSync samples=1 best=ClockOffset(offset_s=2.0, round_trip_s=0.5)>"
