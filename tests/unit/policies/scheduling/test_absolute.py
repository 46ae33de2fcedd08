from __future__ import annotations

from policies.scheduling.absolute import AbsolutePriority
from policies.scheduling.base import StreamOrder


def ready(*orders: StreamOrder) -> AbsolutePriority:
    scheduler = AbsolutePriority()
    for order in orders:
        scheduler.add(order, unsent_bytes=100_000, now=100.0)
    return scheduler


def drain(scheduler: AbsolutePriority, *, now: float = 100.0) -> list[int]:
    served = []
    while (stream_id := scheduler.next(now=now)) is not None:
        served.append(stream_id)
        scheduler.remove(stream_id)
    return served


def test_the_level_decides_and_within_it_the_arrival() -> None:
    scheduler = ready(
        StreamOrder(0, 99.0, 100.1, priority=2),
        StreamOrder(4, 99.4, 100.2, priority=1),
        StreamOrder(8, 99.3, 900.0, priority=1),
        StreamOrder(12, 99.9, 900.0, priority=0),
        StreamOrder(16, 99.3, 100.3, priority=1),
    )
    assert drain(scheduler) == [12, 8, 16, 4, 0]


def test_late_streams_of_the_first_level_are_behind_the_last_level() -> None:
    scheduler = ready(
        StreamOrder(0, 99.0, 101.0, priority=0),
        StreamOrder(4, 99.0, 101.0, priority=1),
        StreamOrder(8, 99.0, 900.0, priority=7),
    )
    assert drain(scheduler, now=102.0) == [8, 0, 4]


def test_the_first_level_is_never_empty_and_the_last_gets_a_tenth_after_30_s() -> None:
    scheduler = ready(StreamOrder(0, 100.0, priority=7))
    served_at = []
    for packet in range(4000):
        now = 100.0 + packet / 100
        scheduler.add(StreamOrder(4, 100.0, now + 1.0, priority=0), unsent_bytes=100_000, now=now)
        stream_id = scheduler.next(now=now)
        assert stream_id is not None
        scheduler.served(stream_id, sent_bytes=1200, now=now)
        if stream_id == 0:
            served_at.append(packet)
    assert served_at == list(range(3001, 4000, 10))
