from __future__ import annotations

import math
import random

import pytest

from policies.scheduling.adaptive import Adaptive, Mode
from policies.scheduling.base import PathEstimate, StreamOrder
from policies.scheduling.edf import EarliestDeadlineFirst

RATE = 100_000.0
RTT_S = 0.1
PATH = PathEstimate(RATE, RTT_S, 0.05)
NEAR = PathEstimate(RATE, RTT_S / 2, 0.05)


def order(
    stream_id: int, due_s: float = math.inf, *, weight: float = 1.0, arrived_at: float = 100.0, now: float = 100.0
) -> StreamOrder:
    return StreamOrder(stream_id, arrived_at=arrived_at, deadline=now + due_s, weight=weight)


def ready(
    *streams: tuple[int, int, float], path: PathEstimate | None = PATH, scheduler: Adaptive | None = None
) -> Adaptive:
    """With streams of number, size and seconds to the deadline."""
    scheduler = Adaptive() if scheduler is None else scheduler
    if path is not None:
        scheduler.on_path(path, now=100.0)
    for stream_id, size, due_s in streams:
        scheduler.add(order(stream_id, due_s), unsent_bytes=size, now=100.0)
    return scheduler


def drain(scheduler: Adaptive, *, now: float = 100.0) -> list[int]:
    """Whom it serves if each stream is empty after one packet."""
    served = []
    while (stream_id := scheduler.next(now=now)) is not None:
        served.append(stream_id)
        scheduler.remove(stream_id)
    return served


def numbers(scheduler: Adaptive, *, now: float = 100.0) -> tuple[object, ...]:
    data = scheduler.log_data(now=now)
    return tuple(data[key] for key in ("kept", "parked", "hopeless", "late"))


def mode(scheduler: Adaptive) -> str:
    return scheduler.mode


OVERLOAD = ((0, 90_000, 1.0), (4, 90_000, 2.0), (8, 90_000, 2.1))
"""2.7 s of work at `RATE`; at a quarter more, which a new link is given credit for, 2.16 s."""


class TestOrder:
    @pytest.mark.parametrize("path", [None, PathEstimate(), PathEstimate(0.0, 0.1, 0.05)])
    def test_of_a_link_that_nothing_is_known_of_it_is_edf(self, path: PathEstimate | None) -> None:
        rng = random.Random(1)
        adaptive, edf = Adaptive(), EarliestDeadlineFirst()
        if path is not None:
            adaptive.on_path(path, now=100.0)
        for index in range(200):
            stream = order(4 * index, rng.uniform(-1.0, 5.0), weight=rng.choice((1.0, 2.0)))
            for scheduler in (adaptive, edf):
                scheduler.add(stream, unsent_bytes=1_000_000, now=100.0)
        now = 100.0
        for _ in range(200):
            now += 0.02
            stream_id = edf.next(now=now)
            assert adaptive.next(now=now) == stream_id
            assert stream_id is not None
            adaptive.remove(stream_id)
            edf.remove(stream_id)
        assert adaptive.mode == "edf"

    def test_what_fits_goes_by_deadline(self) -> None:
        scheduler = ready((0, 50_000, 3.0), (4, 50_000, 1.0), (8, 50_000, 2.0))
        assert numbers(scheduler) == (3, 0, 0, 0)
        assert drain(scheduler) == [4, 8, 0]

    def test_past_that_what_is_worth_least_for_a_byte_stands_behind(self) -> None:
        scheduler = ready()
        for stream_id, size, due_s, weight in ((0, 8000, 1.0, 2.0), (4, 250_000, 2.0, 1.0), (8, 8000, 2.1, 1.0)):
            scheduler.add(order(stream_id, due_s, weight=weight), unsent_bytes=size, now=100.0)
        assert mode(scheduler) == "pruning"
        assert drain(scheduler) == [0, 8, 4]

    def test_parked_before_open_ended_before_hopeless_before_late(self) -> None:
        scheduler = ready((0, 90_000, 0.9), (4, 100_000, 0.95), (8, 500_000, 1.0), (12, 100, -0.1), (16, 100, math.inf))
        assert numbers(scheduler) == (1, 1, 1, 1)
        assert drain(scheduler) == [0, 4, 16, 8, 12]

    def test_late_streams_stand_behind_by_deadline(self) -> None:
        scheduler = ready((0, 100, 1.0), (4, 100, 0.5), (8, 100, 3.0))
        assert drain(scheduler, now=102.0) == [8, 4, 0]

    def test_almost_through_is_not_given_up_for_a_newcomer(self) -> None:
        scheduler = ready((0, 100_000, 1.1))
        for packet in range(90):
            scheduler.served(0, sent_bytes=1000, now=100.0 + packet / 100)
        scheduler.add(order(4, 1.07, now=100.9), unsent_bytes=100_000, now=100.9)
        scheduler.on_path(PATH, now=100.9)
        assert drain(scheduler, now=100.9) == [0, 4]

    def test_without_deadlines_shares_by_weight(self) -> None:
        scheduler = ready()
        for stream_id, weight in ((0, 1.0), (4, 3.0)):
            scheduler.add(order(stream_id, weight=weight), unsent_bytes=10**9, now=100.0)
        served = {0: 0, 4: 0}
        for _ in range(400):
            turn = scheduler.next(now=100.0)
            assert turn is not None
            served[turn] += 1
            scheduler.served(turn, sent_bytes=1500, now=100.0)
        assert served == {0: 100, 4: 300}

    def test_work_without_a_deadline_waits_30_s_and_then_gets_a_tenth(self) -> None:
        """A link that is never idle: as soon as a stream with a deadline is through, there is another."""
        scheduler = ready((2, 10**9, math.inf))
        served = {True: 0, False: 0}
        first_at = None
        for slot in range(4_000):
            now = 100.0 + slot * 0.01
            scheduler.add(order(4 * slot, 1.0, now=now, arrived_at=now), unsent_bytes=1200, now=now)
            stream_id = scheduler.next(now=now)
            assert stream_id is not None
            if stream_id == 2:
                scheduler.served(2, sent_bytes=1200, now=now)
                first_at = first_at or now - 100.0
            else:
                scheduler.remove(stream_id)
            served[stream_id == 2] += now >= 130.1
        assert first_at is not None
        assert 30.0 <= first_at < 30.1
        assert served[True] / (served[True] + served[False]) == pytest.approx(0.1, abs=0.01)

    def test_overdue_work_takes_its_share_of_what_can_be_planned_with(self) -> None:
        scheduler = ready()
        scheduler.add(order(2, arrived_at=100.0), unsent_bytes=10**9, now=131.0)
        scheduler.add(order(4, 1.05, now=131.0), unsent_bytes=120_000, now=131.0)
        assert numbers(scheduler, now=131.0) == (0, 1, 0, 0)
        scheduler.remove(2)
        scheduler.on_path(PATH, now=131.0)
        assert numbers(scheduler, now=131.0) == (1, 0, 0, 0)


class TestRate:
    def test_a_link_that_is_new_is_given_credit_for_a_quarter_more(self) -> None:
        assert numbers(ready((0, 124_000, 1.05))) == (1, 0, 0, 0)
        assert numbers(ready((0, 126_000, 1.05))) == (0, 1, 0, 0)

    @pytest.mark.parametrize(
        ("taken", "kept"), [(1.0, 99_000), (0.9, 89_000), (1.1, 109_000), (0.2, 74_000), (3.0, 299_000)]
    )
    def test_what_the_link_has_taken_counts_and_three_quarters_of_the_estimate_at_least(
        self, taken: float, kept: int
    ) -> None:
        """For two seconds somebody else has sent; then `kept` bytes fit into a second and 4 % more do not."""
        scheduler = ready((2, 10**9, math.inf))
        for packet in range(200):
            now = 100.0 + packet / 100
            scheduler.served(2, sent_bytes=round(taken * 1000), now=now)
            scheduler.on_path(PATH, now=now)
        scheduler.add(order(4, 1.05, now=102.0), unsent_bytes=kept, now=102.0)
        assert numbers(scheduler, now=102.0) == (1, 0, 0, 0)
        scheduler.add(order(4, 1.05, now=102.0), unsent_bytes=round(1.04 * kept), now=102.0)
        assert numbers(scheduler, now=102.0) == (0, 1, 0, 0)

    def test_what_it_has_taken_in_a_short_time_counts_if_it_is_more(self) -> None:
        """The estimate is that of a link that had little to carry."""
        scheduler = ready((0, 100_000, 2.0), (4, 300_000, 3.0))
        assert numbers(scheduler) == (1, 1, 0, 0)
        for packet in range(60):
            scheduler.served(0, sent_bytes=1000, now=100.0 + packet / 400)
        scheduler.on_path(PATH, now=100.15)
        assert numbers(scheduler) == (2, 0, 0, 0)

    def test_a_link_that_had_nothing_to_carry_has_not_been_slow(self) -> None:
        scheduler = ready((0, 1000, 1.0))
        scheduler.remove(0)
        scheduler.add(order(4, 1.05, now=110.0), unsent_bytes=124_000, now=110.0)
        assert numbers(scheduler, now=110.0) == (1, 0, 0, 0)

    def test_a_link_that_slows_down_has_room_for_fewer(self) -> None:
        scheduler = ready((0, 50_000, 1.0), (4, 50_000, 2.0), (8, 50_000, 3.0))
        scheduler.on_path(PathEstimate(RATE / 2, RTT_S, 0.05), now=100.0)
        assert numbers(scheduler) == (3, 0, 0, 0)
        scheduler.on_path(PathEstimate(RATE / 4, RTT_S, 0.05), now=100.0)
        assert numbers(scheduler) == (1, 1, 1, 0)
        scheduler.on_path(PATH, now=100.0)
        assert numbers(scheduler) == (3, 0, 0, 0)

    def test_what_takes_longer_to_be_delivered_fits_less(self) -> None:
        streams = ((0, 100_000, 1.0),)
        assert numbers(ready(*streams, path=PathEstimate(RATE, RTT_S, 0.15))) == (1, 0, 0, 0)
        assert numbers(ready(*streams, path=PathEstimate(RATE, RTT_S, 0.25))) == (0, 1, 0, 0)

    def test_a_message_that_is_written_on_needs_more(self) -> None:
        scheduler = ready((0, 50_000, 1.0), (4, 60_000, 2.0))
        assert numbers(scheduler) == (2, 0, 0, 0)
        scheduler.add(order(4, 2.0), unsent_bytes=240_000, now=100.0)
        assert numbers(scheduler) == (1, 1, 0, 0)


class TestModes:
    def test_it_begins_with_edf(self) -> None:
        assert (Adaptive().mode, Adaptive().mode_changes) == ("edf", 0)

    def test_pruning_begins_at_once_and_is_over_after_five_quiet_round_trips(self) -> None:
        heard: list[tuple[Mode, float]] = []
        adaptive = Adaptive(on_mode=lambda mode, at: heard.append((mode, at)))
        scheduler = ready(*OVERLOAD, path=NEAR, scheduler=adaptive)
        assert mode(scheduler) == "pruning"
        scheduler.remove(0)
        for now in (100.02, 100.1, 100.24):
            scheduler.on_path(NEAR, now=now)
            assert (mode(scheduler), numbers(scheduler)) == ("pruning", (2, 0, 0, 0))
        scheduler.on_path(NEAR, now=100.26)
        assert mode(scheduler) == "edf"
        assert heard == [("pruning", 100.0), ("edf", 100.26)]
        assert scheduler.mode_changes == 2

    def test_somebody_parked_begins_the_quiet_afresh(self) -> None:
        scheduler = ready(*OVERLOAD, path=NEAR)
        scheduler.remove(0)
        scheduler.on_path(NEAR, now=100.1)
        scheduler.add(order(12, 1.2), unsent_bytes=90_000, now=100.2)
        assert numbers(scheduler) == (2, 1, 0, 0)
        scheduler.remove(12)
        scheduler.on_path(NEAR, now=100.4)
        assert (mode(scheduler), numbers(scheduler)) == ("pruning", (2, 0, 0, 0))
        scheduler.on_path(NEAR, now=100.46)
        assert mode(scheduler) == "edf"

    def test_fair_while_nothing_has_a_deadline(self) -> None:
        scheduler = ready((0, 1000, math.inf))
        assert mode(scheduler) == "fair"
        scheduler.add(order(4, 1.0), unsent_bytes=100, now=100.0)
        assert mode(scheduler) == "edf"
        scheduler.remove(4)
        scheduler.on_path(PATH, now=100.0)
        assert mode(scheduler) == "fair"
        assert scheduler.mode_changes == 3

    def test_with_nothing_to_send_the_mode_stays(self) -> None:
        scheduler = ready((0, 1000, math.inf))
        scheduler.remove(0)
        scheduler.on_path(PATH, now=101.0)
        assert mode(scheduler) == "fair"

    def test_late_work_alone_is_no_reason_to_prune(self) -> None:
        scheduler = ready((0, 10**6, 1.0), (4, 10**6, -1.0))
        assert numbers(scheduler) == (0, 0, 1, 1)
        assert mode(scheduler) == "edf"


def test_the_parked_are_served_when_the_kept_are_through_and_unparked_when_they_fit() -> None:
    scheduler = ready(*OVERLOAD)
    assert numbers(scheduler) == (2, 1, 0, 0)
    first = scheduler.next(now=100.0)
    assert first is not None
    scheduler.remove(first)  # reset by its caller
    scheduler.on_path(PATH, now=100.1)
    assert numbers(scheduler) == (2, 0, 0, 0)


def test_unknown_streams_are_ignored() -> None:
    scheduler = ready((0, 1000, 1.0))
    scheduler.served(8, sent_bytes=100, now=100.0)
    scheduler.remove(8)
    assert drain(scheduler) == [0]


def test_what_it_says_of_itself() -> None:
    scheduler = ready(*OVERLOAD, (12, 100, math.inf), (16, 100, -1.0))
    assert scheduler.log_data(now=100.0) == {
        "ready": 5,
        "late": 1,
        "overdue": 0,
        "mode": "pruning",
        "mode_changes": 1,
        "kept": 2,
        "parked": 1,
        "hopeless": 0,
    }
    assert repr(scheduler) == "<Adaptive pruning ready=5 kept=2 parked=1>"
