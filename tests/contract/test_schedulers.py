"""What every stream scheduler must do, whatever its order (the contract in `policies.scheduling.base.Scheduler`)."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from policies.scheduling.base import NO_DEADLINE_WAIT_S, PathEstimate, Scheduler, StreamOrder
from policies.scheduling.registry import SCHEDULERS, make_scheduler
from policies.scheduling.timely_first import OVERDUE_SHARE

STREAMS = (
    StreamOrder(0, arrived_at=100.0, deadline=101.0, level="high", weight=2.0),
    StreamOrder(4, arrived_at=100.1, deadline=100.6, priority=1),
    StreamOrder(8, arrived_at=100.2, priority=2),
    StreamOrder(1, arrived_at=100.3, deadline=99.0, priority=1),
    StreamOrder(12, arrived_at=100.3, deadline=101.0, level="high"),
)
NOW = 100.5


@pytest.fixture(params=list(SCHEDULERS))
def scheduler(request: pytest.FixtureRequest) -> Scheduler:
    return make_scheduler(request.param)


@pytest.fixture
def ready(scheduler: Scheduler) -> Scheduler:
    """The scheduler with five streams that have something to send."""
    for order in STREAMS:
        scheduler.add(order, unsent_bytes=10_000, now=NOW)
    return scheduler


def drain(scheduler: Scheduler, *, now: float = NOW) -> list[int]:
    """Whom it serves if each stream is empty after one packet. It must end: nobody is added."""
    served = []
    while (stream_id := scheduler.next(now=now)) is not None:
        served.append(stream_id)
        scheduler.remove(stream_id)
    return served


@pytest.mark.parametrize("name", list(SCHEDULERS))
def test_it_goes_by_its_name(name: str) -> None:
    assert make_scheduler(name).name == name


def test_without_streams_there_is_nobody_to_serve(scheduler: Scheduler) -> None:
    assert scheduler.next(now=NOW) is None
    assert len(scheduler) == 0


def test_every_stream_is_served_and_no_other(ready: Scheduler) -> None:
    assert len(ready) == 5
    assert sorted(drain(ready)) == [0, 1, 4, 8, 12]
    assert len(ready) == 0
    assert ready.next(now=NOW) is None


def test_asking_changes_nothing(ready: Scheduler) -> None:
    first = ready.next(now=NOW)
    assert first is not None
    assert {ready.next(now=NOW) for _ in range(10)} == {first}
    assert len(ready) == 5


def test_asking_has_no_part_in_the_order(ready: Scheduler) -> None:
    silent = make_scheduler(ready.name)
    for order in STREAMS:
        silent.add(order, unsent_bytes=10_000, now=NOW)
        silent.next(now=NOW)
    assert drain(silent) == drain(ready)


def test_while_anybody_is_ready_somebody_is_served_at_any_time(ready: Scheduler) -> None:
    for now in (NOW, 100.7, 101.5, 131.0, 1e9):
        assert ready.next(now=now) in {0, 1, 4, 8, 12}


def test_a_served_stream_stays(ready: Scheduler) -> None:
    served = set()
    for packet in range(100):
        stream_id = ready.next(now=NOW + packet / 1000)
        assert stream_id is not None
        served.add(stream_id)
        ready.served(stream_id, sent_bytes=1200, now=NOW + packet / 1000)
        assert len(ready) == 5
    assert served <= {0, 1, 4, 8, 12}
    assert sorted(drain(ready)) == [0, 1, 4, 8, 12]


@pytest.mark.parametrize("stream_id", [0, 1, 4, 8, 12])
def test_a_removed_stream_is_never_served(ready: Scheduler, stream_id: int) -> None:
    ready.remove(stream_id)
    assert len(ready) == 4
    assert sorted(drain(ready)) == sorted({0, 1, 4, 8, 12} - {stream_id})


def test_the_one_whose_turn_it_is_may_go(ready: Scheduler) -> None:
    turn = ready.next(now=NOW)
    assert turn is not None
    ready.remove(turn)
    assert ready.next(now=NOW) not in {turn, None}


def test_an_unknown_stream_is_removed_without_a_word(ready: Scheduler) -> None:
    ready.remove(999)
    ready.remove(4)
    ready.remove(4)
    assert sorted(drain(ready)) == [0, 1, 8, 12]


@pytest.mark.parametrize(
    "changed",
    [
        StreamOrder(8, arrived_at=100.2, deadline=100.55),
        StreamOrder(8, arrived_at=100.2, deadline=1e9),
        StreamOrder(8, arrived_at=100.2, deadline=math.inf, priority=0, level="high", weight=9.0),
        StreamOrder(8, arrived_at=100.2, deadline=1.0),
        STREAMS[2],
    ],
    ids=["sooner", "later", "otherwise", "late", "the same"],
)
def test_a_known_stream_that_is_added_again_is_still_one(ready: Scheduler, changed: StreamOrder) -> None:
    for unsent_bytes in (10_000, 20_000, 5):
        ready.add(changed, unsent_bytes=unsent_bytes, now=NOW)
    assert len(ready) == 5
    assert sorted(drain(ready)) == [0, 1, 4, 8, 12]


def test_a_stream_may_come_back(ready: Scheduler) -> None:
    for _ in range(3):
        ready.remove(8)
        ready.add(STREAMS[2], unsent_bytes=10, now=NOW)
    assert len(ready) == 5
    assert sorted(drain(ready)) == [0, 1, 4, 8, 12]
    for order in STREAMS:
        ready.add(order, unsent_bytes=10, now=NOW)
    assert sorted(drain(ready)) == [0, 1, 4, 8, 12]


def test_the_same_history_gives_the_same_order(scheduler: Scheduler) -> None:
    other = make_scheduler(scheduler.name)
    for one in (scheduler, other):
        for order in STREAMS:
            one.add(order, unsent_bytes=10_000, now=NOW)
        one.remove(4)
        one.add(STREAMS[1], unsent_bytes=500, now=NOW)
    assert drain(scheduler) == drain(other)


def test_numbers_for_the_log(ready: Scheduler) -> None:
    numbers = ready.log_data(now=NOW)
    assert numbers["ready"] == 5
    assert {type(value) for value in numbers.values()} <= {str, int, float}
    assert sorted(drain(ready)) == [0, 1, 4, 8, 12]


def test_a_new_measure_of_the_path_loses_nobody(ready: Scheduler) -> None:
    for rate_bytes_s in (math.inf, 1e6, 1e3, 1.0):
        ready.on_path(PathEstimate(rate_bytes_s, rtt_s=0.1, delivery_s=0.05), now=NOW)
        assert len(ready) == 5
    assert sorted(drain(ready)) == [0, 1, 4, 8, 12]


@pytest.mark.parametrize("now", [NOW, 100.7, 101.5], ids=["one is late", "two are late", "all that have deadlines are"])
def test_late_is_behind_all_that_can_be_on_time(ready: Scheduler, now: float) -> None:
    late = {order.stream_id for order in STREAMS if order.deadline < now}
    order = drain(ready, now=now)
    assert set(order[-len(late) :]) == late


def test_a_late_stream_is_in_time_again_with_its_next_message(scheduler: Scheduler) -> None:
    scheduler.add(StreamOrder(0, arrived_at=100.0, deadline=101.0), unsent_bytes=10_000, now=NOW)
    scheduler.add(StreamOrder(4, arrived_at=100.1, deadline=200.0), unsent_bytes=10_000, now=NOW)
    assert scheduler.next(now=102.0) == 4
    scheduler.add(StreamOrder(0, arrived_at=100.0, deadline=110.0), unsent_bytes=20_000, now=102.0)
    scheduler.remove(4)
    scheduler.add(StreamOrder(8, arrived_at=103.0, deadline=102.5), unsent_bytes=10_000, now=103.0)
    assert drain(scheduler, now=103.0) == [0, 8]


def test_a_message_that_is_late_puts_its_stream_behind(scheduler: Scheduler) -> None:
    scheduler.add(StreamOrder(0, arrived_at=100.0, deadline=101.0), unsent_bytes=10_000, now=NOW)
    scheduler.add(StreamOrder(4, arrived_at=100.1, deadline=200.0, priority=9), unsent_bytes=10_000, now=NOW)
    scheduler.add(StreamOrder(0, arrived_at=100.0, deadline=100.2), unsent_bytes=20_000, now=NOW)
    assert drain(scheduler) == [4, 0]


PACKET_S = 0.01
PATIENT = (1_000_001, 1_000_005, 1_000_009)
"""Streams without a deadline."""
Flood = Callable[[Scheduler, float], None]


def short_urgent_streams(scheduler: Scheduler, now: float) -> None:
    """Another one whenever the last has left: each is one packet."""
    if len(scheduler) == len(PATIENT):
        order = StreamOrder(round(now * 1000) * 4, now, now + 1.0, priority=0, level="high", weight=8.0)
        scheduler.add(order, unsent_bytes=1200, now=now)


def an_endless_urgent_stream(scheduler: Scheduler, now: float) -> None:
    """It has come before all others, and each of its messages is due soon."""
    scheduler.add(StreamOrder(0, 0.0, now + 1.0, priority=0, level="high", weight=8.0), unsent_bytes=10**9, now=now)


def endless_urgent_streams_without_a_deadline(scheduler: Scheduler, now: float) -> None:
    for stream_id in (0, 4, 8):
        order = StreamOrder(stream_id, 0.0, priority=0, level="high", weight=8.0)
        scheduler.add(order, unsent_bytes=10**9, now=now)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flood", "others"),
    [(short_urgent_streams, 0), (an_endless_urgent_stream, 0), (endless_urgent_streams_without_a_deadline, 3)],
)
def test_work_without_a_deadline_gets_on_whatever_else_there_is(
    scheduler: Scheduler, flood: Flood, others: int
) -> None:
    """Once it has waited `NO_DEADLINE_WAIT_S`, each of k such streams sends once in k / `OVERDUE_SHARE` packets."""
    began_at = 100.0
    for stream_id in PATIENT:
        order = StreamOrder(stream_id, began_at, priority=7, level="low", weight=0.001)
        scheduler.add(order, unsent_bytes=10**9, now=began_at)
    scheduler.on_path(PathEstimate(1200 / PACKET_S, rtt_s=0.1, delivery_s=0.05), now=began_at)
    bound = math.ceil((len(PATIENT) + others) / OVERDUE_SHARE) + 1
    last = dict.fromkeys(PATIENT, round(NO_DEADLINE_WAIT_S / PACKET_S))
    for packet in range(4000):
        now = began_at + packet * PACKET_S
        flood(scheduler, now)
        turn = scheduler.next(now=now)
        assert turn is not None
        if flood is short_urgent_streams and turn not in PATIENT:
            scheduler.remove(turn)
        else:
            scheduler.served(turn, sent_bytes=1200, now=now)
        if turn in PATIENT:
            last[turn] = max(packet, last[turn])
        assert all(packet - at <= bound for at in last.values())


@pytest.mark.parametrize(
    ("name", "at_least"), [("rr", 500), ("edf", 890), ("absolute", 890), ("multilevel", 890), ("weighted", 890)]
)
def test_a_call_that_has_been_open_for_an_hour_does_not_go_before_what_is_due(name: str, at_least: int) -> None:
    """A share, not precedence. First come, first served is another matter."""
    scheduler = make_scheduler(name)
    scheduler.add(StreamOrder(0, arrived_at=0.0, priority=7, weight=0.001), unsent_bytes=10**9, now=3600.0)
    scheduler.add(StreamOrder(4, 3600.0, 3700.0, level="high"), unsent_bytes=10**9, now=3600.0)
    sent = {0: 0, 4: 0}
    for packet in range(1000):
        now = 3600.0 + packet * PACKET_S
        stream_id = scheduler.next(now=now)
        assert stream_id is not None
        sent[stream_id] += 1
        scheduler.served(stream_id, sent_bytes=1200, now=now)
    assert sent[4] >= at_least


@pytest.mark.slow
def test_ten_thousand_streams(scheduler: Scheduler) -> None:
    for index in range(10_000):
        order = StreamOrder(4 * index, arrived_at=100.0, deadline=101.0 + (index * 7919 % 10_000) / 100)
        scheduler.add(order, unsent_bytes=1000, now=NOW)
    assert len(scheduler) == 10_000
    assert sorted(drain(scheduler)) == list(range(0, 40_000, 4))
