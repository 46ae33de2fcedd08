from __future__ import annotations

from policies.scheduling.base import StreamOrder
from policies.scheduling.fcfs import FirstComeFirstServed


def test_order_of_arrival_whatever_the_deadline_and_the_class() -> None:
    scheduler = FirstComeFirstServed()
    scheduler.add(StreamOrder(4, 100.3, 101.0, priority=0, level="high", weight=9.0), unsent_bytes=1, now=100.5)
    scheduler.add(StreamOrder(0, 100.2, 109.0, priority=9), unsent_bytes=10_000, now=100.5)
    scheduler.add(StreamOrder(12, 100.1), unsent_bytes=10_000, now=100.5)
    scheduler.add(StreamOrder(8, 100.1), unsent_bytes=10_000, now=100.5)
    scheduler.add(StreamOrder(16, 99.0, 100.4), unsent_bytes=10_000, now=100.5)
    served = []
    while (stream_id := scheduler.next(now=100.5)) is not None:
        scheduler.served(stream_id, sent_bytes=1200, now=100.5)
        assert scheduler.next(now=100.5) == stream_id
        served.append(stream_id)
        scheduler.remove(stream_id)
    assert served == [8, 12, 0, 4, 16]
