from __future__ import annotations

import math

import pytest

from policies.scheduling.base import StreamOrder
from policies.scheduling.edf import EarliestDeadlineFirst


def order(stream_id: int, deadline: float = math.inf, *, arrived_at: float = 100.0) -> StreamOrder:
    return StreamOrder(stream_id, arrived_at=arrived_at, deadline=deadline)


def ready(*orders: StreamOrder, now: float = 100.0) -> EarliestDeadlineFirst:
    scheduler = EarliestDeadlineFirst()
    for item in orders:
        scheduler.add(item, unsent_bytes=10_000, now=now)
    return scheduler


def drain(scheduler: EarliestDeadlineFirst, *, now: float = 100.0) -> list[int]:
    """Whom it serves if each stream is empty after one packet."""
    served = []
    while (stream_id := scheduler.next(now=now)) is not None:
        served.append(stream_id)
        scheduler.remove(stream_id)
    return served


def test_the_earliest_deadline_first() -> None:
    assert drain(ready(order(0, 103.0), order(4, 101.0), order(8, 102.0))) == [4, 8, 0]


def test_ties_go_to_the_earlier_arrival_then_to_the_lower_number() -> None:
    scheduler = ready(
        order(12, 101.0, arrived_at=100.0),
        order(4, 101.0, arrived_at=99.5),
        order(8, 101.0, arrived_at=99.0),
        order(0, 101.0, arrived_at=100.0),
    )
    assert drain(scheduler) == [8, 4, 0, 12]


def test_a_stream_keeps_the_link_until_a_more_urgent_one_appears() -> None:
    scheduler = ready(order(0, 102.0), order(4, 103.0))
    served = []
    for packet in range(6):
        if packet == 3:
            scheduler.add(order(8, 101.0), unsent_bytes=1000, now=100.0)
        stream_id = scheduler.next(now=100.0)
        assert stream_id is not None
        served.append(stream_id)
        if packet == 4:
            scheduler.remove(8)
        else:
            scheduler.served(stream_id, sent_bytes=1200, now=100.0)
    assert served == [0, 0, 0, 8, 8, 0]


def test_late_streams_stand_behind_all_others_in_the_order_of_their_deadlines() -> None:
    scheduler = ready(order(0, 101.0), order(4, 100.5), order(8, 110.0), order(12))
    assert drain(scheduler, now=102.0) == [8, 12, 4, 0]


def test_a_stream_that_is_late_when_it_comes_stands_behind_too() -> None:
    scheduler = ready(order(0, 99.0), order(4, 98.0), order(8, 500.0))
    assert drain(scheduler) == [8, 4, 0]


def test_a_deadline_is_kept_up_to_its_instant() -> None:
    scheduler = ready(order(0, 101.0), order(4, 102.0))
    assert scheduler.next(now=101.0) == 0
    assert scheduler.next(now=101.001) == 4


def test_a_late_stream_with_a_new_deadline_is_on_time_again() -> None:
    """The next message of a token stream."""
    scheduler = ready(order(0, 101.0), order(4, 109.0))
    assert scheduler.next(now=102.0) == 4
    scheduler.add(order(0, 103.0), unsent_bytes=100, now=102.0)
    assert drain(scheduler, now=102.0) == [0, 4]


@pytest.mark.parametrize(("deadline", "expected"), [(100.5, [0, 4, 8]), (102.5, [4, 0, 8]), (105.0, [4, 8, 0])])
def test_a_moved_deadline_counts_at_once(deadline: float, expected: list[int]) -> None:
    scheduler = ready(order(0, 101.0), order(4, 102.0), order(8, 103.0))
    scheduler.add(order(0, deadline), unsent_bytes=10_000, now=100.0)
    assert len(scheduler) == 3
    assert drain(scheduler) == expected


def test_work_without_a_deadline_waits_for_all_that_has_one_and_30_s_at_most() -> None:
    """A link that is never idle: every 0.1 s a stream comes with a deadline of a second and fills one packet slot."""
    scheduler = ready(order(2))
    served_at = []
    for slot in range(1, 600):
        now = 100.0 + slot / 10
        scheduler.add(order(4 * slot, now + 1.0, arrived_at=now), unsent_bytes=1200, now=now)
        stream_id = scheduler.next(now=now)
        assert stream_id is not None
        if stream_id == 2:
            served_at.append(now - 100.0)
            scheduler.served(2, sent_bytes=1200, now=now)
        else:
            scheduler.remove(stream_id)
    assert served_at[0] == pytest.approx(30.1)
    assert served_at[1] - served_at[0] == pytest.approx(1.0)  # every tenth packet


def test_work_without_a_deadline_is_never_late() -> None:
    scheduler = ready(order(0), order(4, 1_000_000.5), order(8, 99.0), now=100.0)
    assert drain(scheduler, now=1_000_000.0) == [4, 0, 8]


def test_what_it_says_of_itself() -> None:
    scheduler = ready(order(0, 101.0), order(4, 102.0), order(8))
    assert scheduler.log_data(now=101.5) == {"ready": 3, "late": 1, "overdue": 0}
    assert scheduler.log_data(now=130.5) == {"ready": 3, "late": 2, "overdue": 1}
    assert repr(scheduler) == "<EarliestDeadlineFirst ready=3>"
