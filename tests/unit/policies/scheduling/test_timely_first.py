from __future__ import annotations

import math

import pytest

from policies.scheduling.base import StreamOrder
from policies.scheduling.queues import RankedQueue
from policies.scheduling.timely_first import TimelyFirst


class ByNumber(TimelyFirst):
    """The lowest number, for ever: whatever else happens is not the discipline's doing."""

    name = "by number"

    def __init__(self, *, waits: bool = True) -> None:
        super().__init__(lambda: RankedQueue(lambda order: (order.stream_id,)), waits=waits)


def ready(*orders: StreamOrder, now: float = 100.0, waits: bool = True) -> ByNumber:
    scheduler = ByNumber(waits=waits)
    for order in orders:
        scheduler.add(order, unsent_bytes=100_000, now=now)
    return scheduler


def turns(scheduler: ByNumber, packets: int, *, now: float, sent_bytes: int = 1200) -> list[int]:
    found = []
    for _ in range(packets):
        stream_id = scheduler.next(now=now)
        assert stream_id is not None
        found.append(stream_id)
        scheduler.served(stream_id, sent_bytes=sent_bytes, now=now)
    return found


def drain(scheduler: ByNumber, *, now: float) -> list[int]:
    found = []
    while (stream_id := scheduler.next(now=now)) is not None:
        found.append(stream_id)
        scheduler.remove(stream_id)
    return found


def test_a_stream_moves_behind_when_its_deadline_passes() -> None:
    scheduler = ready(StreamOrder(0, 100.0, 101.0), StreamOrder(4, 100.0, 102.0), StreamOrder(8, 100.0))
    assert scheduler.next(now=101.0) == 0
    assert scheduler.next(now=101.001) == 4
    assert scheduler.next(now=102.001) == 8
    assert drain(scheduler, now=102.001) == [8, 0, 4]


def test_a_new_deadline_brings_it_back_and_a_past_one_away() -> None:
    scheduler = ready(StreamOrder(0, 100.0, 101.0), StreamOrder(4, 100.0, 200.0))
    assert scheduler.next(now=101.5) == 4
    scheduler.add(StreamOrder(0, 100.0, 103.0), unsent_bytes=1, now=101.5)
    assert scheduler.next(now=101.5) == 0
    scheduler.add(StreamOrder(0, 100.0, 99.0), unsent_bytes=1, now=101.5)
    assert drain(scheduler, now=101.5) == [4, 0]


def test_what_has_waited_30_s_gets_every_tenth_packet_in_turn() -> None:
    scheduler = ready(*(StreamOrder(stream_id, 100.0) for stream_id in (0, 4, 8)))
    assert turns(scheduler, 100, now=130.0) == [0] * 100
    # All three are overdue now. Stream 0's packets by its own right count as its turn as well.
    later = turns(scheduler, 60, now=130.001)
    assert [(index, stream_id) for index, stream_id in enumerate(later) if stream_id] == [
        (10, 4),
        (20, 8),
        (30, 4),
        (40, 8),
        (50, 4),
    ]


def test_larger_packets_are_paid_back() -> None:
    scheduler = ready(StreamOrder(0, 100.0, 500.0), StreamOrder(4, 100.0))
    found = turns(scheduler, 1000, now=140.0, sent_bytes=9000)
    assert found.count(4) in {99, 100, 101}


def test_streams_that_end_with_each_packet_count_by_their_bytes() -> None:
    scheduler = ready(StreamOrder(4_000_000, 100.0))
    sent = {"short": 0, "patient": 0}
    for number in range(10_000):
        scheduler.add(StreamOrder(4 * number, 140.0, 500.0), unsent_bytes=100, now=140.0)
        stream_id = scheduler.next(now=140.0)
        if stream_id == 4_000_000:
            sent["patient"] += 1200
            scheduler.served(stream_id, sent_bytes=1200, now=140.0)
            scheduler.remove(4 * number)
        else:
            assert stream_id == 4 * number
            sent["short"] += 100 + 19
            scheduler.remove(stream_id)
    assert sent["patient"] / sum(sent.values()) == pytest.approx(0.1, abs=0.01)


def test_a_long_stream_that_is_reset_is_a_packet_and_no_flood_of_turns() -> None:
    scheduler = ready(StreamOrder(0, 100.0, 500.0), StreamOrder(4, 100.0, 500.0), StreamOrder(8, 100.0))
    scheduler.add(StreamOrder(0, 100.0, 500.0), unsent_bytes=10**9, now=140.0)
    assert scheduler.next(now=140.0) == 0
    scheduler.remove(0)
    assert turns(scheduler, 20, now=140.0).count(8) <= 2


def test_a_discipline_that_starves_nobody_needs_no_share() -> None:
    scheduler = ready(StreamOrder(0, 100.0, 500.0), StreamOrder(4, 100.0), waits=False)
    assert turns(scheduler, 100, now=200.0) == [0] * 100
    assert scheduler.log_data(now=200.0) == {"ready": 2, "late": 0, "overdue": 0}


def test_who_leaves_is_overdue_no_more() -> None:
    scheduler = ready(StreamOrder(0, 100.0, 500.0), StreamOrder(4, 100.0))
    assert scheduler.log_data(now=140.0)["overdue"] == 1
    scheduler.remove(4)
    assert scheduler.log_data(now=140.0) == {"ready": 1, "late": 0, "overdue": 0}
    assert turns(scheduler, 30, now=140.0) == [0] * 30


def test_an_overdue_stream_that_gets_a_deadline_is_overdue_no_more() -> None:
    scheduler = ready(StreamOrder(0, 100.0))
    assert scheduler.log_data(now=140.0)["overdue"] == 1
    scheduler.add(StreamOrder(0, 100.0, 141.0), unsent_bytes=10, now=140.0)
    assert scheduler.log_data(now=140.0) == {"ready": 1, "late": 0, "overdue": 0}
    assert scheduler.log_data(now=142.0) == {"ready": 1, "late": 1, "overdue": 0}


def test_being_served_without_being_known_changes_nothing() -> None:
    scheduler = ready(StreamOrder(0, 100.0, math.inf))
    scheduler.served(8, sent_bytes=1200, now=100.0)
    assert repr(scheduler) == "<ByNumber ready=1>"
