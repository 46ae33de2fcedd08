from __future__ import annotations

from policies.scheduling.base import StreamOrder
from policies.scheduling.multilevel import MultiLevel


def ready(*orders: StreamOrder) -> MultiLevel:
    scheduler = MultiLevel()
    for order in orders:
        scheduler.add(order, unsent_bytes=100_000, now=100.0)
    return scheduler


def turns(scheduler: MultiLevel, packets: int, *, now: float = 100.0) -> list[int]:
    found = []
    for _ in range(packets):
        stream_id = scheduler.next(now=now)
        assert stream_id is not None
        found.append(stream_id)
        scheduler.served(stream_id, sent_bytes=1200, now=now)
    return found


LOW = (StreamOrder(0, 99.0, 100.1), StreamOrder(4, 99.0, 100.2), StreamOrder(8, 99.0))


def test_the_upper_level_by_deadline_then_the_lower_in_a_circle() -> None:
    scheduler = ready(*LOW, StreamOrder(12, 99.0, 300.0, level="high"), StreamOrder(16, 99.5, 200.0, level="high"))
    assert turns(scheduler, 3) == [16, 16, 16]
    scheduler.remove(16)
    assert turns(scheduler, 2) == [12, 12]
    scheduler.remove(12)
    assert turns(scheduler, 5) == [0, 4, 8, 0, 4]


def test_who_changes_level_joins_the_other_at_its_end() -> None:
    scheduler = ready(*LOW)
    scheduler.add(LOW[1]._replace(level="high"), unsent_bytes=1, now=100.0)
    assert turns(scheduler, 2) == [4, 4]
    scheduler.add(LOW[1], unsent_bytes=1, now=100.0)
    assert turns(scheduler, 4) == [0, 8, 4, 0]
    assert len(scheduler) == 3


def test_late_streams_of_the_upper_level_are_behind_the_lower() -> None:
    scheduler = ready(LOW[0], LOW[2], StreamOrder(12, 99.0, 101.0, level="high"))
    assert turns(scheduler, 2, now=102.0) == [8, 8]
    scheduler.remove(8)
    assert turns(scheduler, 2, now=102.0) == [12, 12]


def test_the_upper_level_is_never_empty_and_the_lower_gets_a_tenth_after_30_s() -> None:
    scheduler = ready(LOW[2]._replace(arrived_at=100.0))
    served_at = []
    for packet in range(4000):
        now = 100.0 + packet / 100
        scheduler.add(StreamOrder(12, 100.0, now + 1.0, level="high"), unsent_bytes=100_000, now=now)
        if turns(scheduler, 1, now=now) == [8]:
            served_at.append(packet)
    assert served_at == list(range(3001, 4000, 10))
