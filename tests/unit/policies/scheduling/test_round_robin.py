from __future__ import annotations

from policies.scheduling.base import StreamOrder
from policies.scheduling.round_robin import RoundRobin


def ready(*stream_ids: int) -> RoundRobin:
    scheduler = RoundRobin()
    for stream_id in stream_ids:
        scheduler.add(StreamOrder(stream_id, arrived_at=0.0), unsent_bytes=10_000, now=0.0)
    return scheduler


def serve(scheduler: RoundRobin, packets: int) -> list[int]:
    order = []
    for _ in range(packets):
        stream_id = scheduler.next(now=0.0)
        assert stream_id is not None
        order.append(stream_id)
        scheduler.served(stream_id, sent_bytes=1200, now=0.0)
    return order


def test_one_packet_a_stream_in_a_fixed_circle() -> None:
    assert serve(ready(8, 0, 4), 7) == [8, 0, 4, 8, 0, 4, 8]


def test_deadlines_and_priorities_do_not_matter() -> None:
    scheduler = ready(8, 0)
    scheduler.add(StreamOrder(4, arrived_at=-5.0, deadline=9.0, priority=-1, level="high"), unsent_bytes=1, now=0.0)
    assert serve(scheduler, 4) == [8, 0, 4, 8]


def test_a_new_stream_joins_at_the_end_of_the_circle() -> None:
    scheduler = ready(0, 4)
    assert serve(scheduler, 1) == [0]
    scheduler.add(StreamOrder(8, arrived_at=0.0), unsent_bytes=10_000, now=0.0)
    assert serve(scheduler, 5) == [4, 0, 8, 4, 0]


def test_a_known_stream_keeps_its_place() -> None:
    scheduler = ready(0, 4, 8)
    scheduler.add(StreamOrder(0, arrived_at=0.0, deadline=1.0), unsent_bytes=20_000, now=0.0)
    assert serve(scheduler, 3) == [0, 4, 8]


def test_who_leaves_and_comes_back_stands_at_the_end() -> None:
    scheduler = ready(0, 4, 8)
    scheduler.remove(0)
    assert serve(scheduler, 2) == [4, 8]
    scheduler.add(StreamOrder(0, arrived_at=0.0), unsent_bytes=1, now=0.0)
    assert serve(scheduler, 3) == [4, 8, 0]


def test_late_streams_have_a_circle_of_their_own_behind() -> None:
    scheduler = RoundRobin()
    for stream_id, deadline in ((0, 1.0), (4, 9.0), (8, 2.0), (12, 9.0)):
        scheduler.add(StreamOrder(stream_id, 0.0, deadline), unsent_bytes=10_000, now=0.0)
    served = []
    for packet in range(5):
        turn = scheduler.next(now=3.0)
        assert turn is not None
        served.append(turn)
        scheduler.served(turn, sent_bytes=1200, now=3.0)
        if packet == 1:
            scheduler.remove(4)
            scheduler.remove(12)
    assert served == [4, 12, 0, 8, 0]


def test_who_has_waited_long_gets_no_more_than_its_turn() -> None:
    assert serve(ready(0, 4), 2) == [0, 4]
    scheduler = ready(0, 4, 8)
    for _ in range(10):
        served = []
        for _ in range(3):
            stream_id = scheduler.next(now=100.0)
            assert stream_id is not None
            served.append(stream_id)
            scheduler.served(stream_id, sent_bytes=1200, now=100.0)
        assert served == [0, 4, 8]


def test_what_it_says_of_itself() -> None:
    scheduler = ready(0, 4)
    assert scheduler.log_data(now=0.0) == {"ready": 2, "late": 0, "overdue": 0}
    assert repr(scheduler) == "<RoundRobin ready=2>"
