from __future__ import annotations

import copy
import math
import random

import pytest

from policies.scheduling.base import StreamOrder
from policies.scheduling.planned_queue import PlannedQueue

RATE = 1000.0
"""Bytes a second."""


def put(queue: PlannedQueue, stream_id: int, size: int, due_s: float = math.inf, *, weight: float = 1.0) -> None:
    queue.put(StreamOrder(stream_id, arrived_at=100.0, deadline=100.0 + due_s, weight=weight))
    queue.resize(stream_id, size)


def review(
    queue: PlannedQueue, now: float = 100.0, *, rate: float = RATE, delivery_s: float = 0.0, patience_s: float = 0.05
) -> bool:
    return queue.review(rate, delivery_s, patience_s=patience_s, now=now)


def planned(*streams: tuple[int, int, float], now: float = 100.0, delivery_s: float = 0.0) -> PlannedQueue:
    """With streams of number, size and seconds to the deadline."""
    queue = PlannedQueue()
    for stream_id, size, due_s in streams:
        put(queue, stream_id, size, due_s)
        review(queue, now, delivery_s=delivery_s)
    return queue


def tiers(queue: PlannedQueue) -> tuple[int, int, int]:
    return queue.kept, queue.parked, queue.hopeless


def drain(queue: PlannedQueue) -> list[int]:
    served = []
    while (stream_id := queue.first()) is not None:
        served.append(stream_id)
        queue.discard(stream_id)
    return served


class TestOrder:
    def test_what_fits_goes_by_deadline(self) -> None:
        queue = planned((0, 1000, 3.0), (4, 1000, 1.0), (8, 1000, 2.0))
        assert tiers(queue) == (3, 0, 0)
        assert drain(queue) == [4, 8, 0]

    def test_ties_go_to_the_earlier_arrival_then_to_the_lower_number(self) -> None:
        queue = PlannedQueue()
        for stream_id, arrived_at in ((12, 2.0), (8, 1.0), (4, 2.0)):
            queue.put(StreamOrder(stream_id, arrived_at=arrived_at, deadline=9.0))
        assert drain(queue) == [8, 4, 12]

    def test_the_tiers_one_after_the_other(self) -> None:
        queue = planned((0, 2000, 2.0), (4, 3000, 3.0), (8, 9000, 1.0), (12, 500, 2.5))
        put(queue, 16, 10)
        assert tiers(queue) == (2, 1, 1)
        assert queue.open_ended == 1
        assert len(queue) == 5
        assert drain(queue) == [0, 12, 4, 16, 8]

    def test_without_a_rate_all_are_kept(self) -> None:
        queue = planned((0, 2000, 2.0), (4, 3000, 3.0), (8, 9000, 1.0))
        assert queue.parked + queue.hopeless == 2
        assert review(queue, rate=math.inf)
        assert tiers(queue) == (3, 0, 0)
        assert drain(queue) == [8, 0, 4]

    def test_what_must_be_left_when_the_last_byte_departs_counts(self) -> None:
        streams = ((0, 1000, 1.2), (4, 1000, 2.2))
        assert tiers(planned(*streams, delivery_s=0.2)) == (2, 0, 0)
        assert tiers(planned(*streams, delivery_s=0.3)) == (1, 1, 0)

    def test_time_that_the_answer_takes_brings_a_deadline_forward(self) -> None:
        queue = planned((0, 900, 2.0))
        queue.put(StreamOrder(4, arrived_at=100.0, deadline=102.5, answer_s=1.5))
        queue.resize(4, 900)
        review(queue)
        assert tiers(queue) == (2, 0, 0)
        assert queue.first() == 4
        queue.put(StreamOrder(4, arrived_at=100.0, deadline=102.5, answer_s=1.65))
        queue.resize(4, 900)
        review(queue)
        assert tiers(queue) == (1, 1, 0)
        assert queue.first() == 0

    def test_without_deadlines_shares_by_weight(self) -> None:
        queue = PlannedQueue()
        put(queue, 0, 100_000, weight=1.0)
        put(queue, 4, 100_000, weight=3.0)
        served = {0: 0, 4: 0}
        for _ in range(400):
            stream_id = queue.first()
            assert stream_id is not None
            served[stream_id] += 1
            queue.served(stream_id, 1500)
        assert served == {0: 100, 4: 300}

    @pytest.mark.parametrize("due_s", [1.0, math.inf])
    def test_a_stream_may_get_a_deadline_and_lose_it(self, due_s: float) -> None:
        queue = planned((0, 1000, 5.0))
        put(queue, 4, 100, due_s)
        put(queue, 4, 100, math.inf if due_s == 1.0 else 1.0)
        assert len(queue) == 2
        assert 4 in queue
        assert drain(queue) == ([0, 4] if due_s == 1.0 else [4, 0])
        assert 4 not in queue


class TestChange:
    def test_only_unsent_bytes_count(self) -> None:
        """A newcomer of the same size and worth does not displace what is almost through."""
        queue = planned((0, 4000, 4.0))
        queue.served(0, 3000)
        put(queue, 4, 4000, 4.5)
        review(queue, 103.0)
        assert drain(queue) == [0, 4]

    def test_a_served_stream_keeps_its_bit_until_it_is_gone(self) -> None:
        queue = planned((0, 1000, 4.0))
        queue.served(0, 5000)
        assert queue.first() == 0

    def test_who_grows_may_no_longer_fit(self) -> None:
        queue = planned((0, 1000, 3.0), (4, 1000, 2.0))
        queue.resize(4, 1900)
        review(queue)
        assert tiers(queue) == (2, 0, 0)
        queue.resize(0, 1500)
        review(queue)
        assert tiers(queue) == (1, 1, 0)
        assert queue.first() == 0

    def test_who_shrinks_makes_no_room_for_what_is_due_before(self) -> None:
        queue = planned((0, 1000, 1.2), (4, 1000, 3.0), (8, 1000, 9.0))
        queue.resize(4, 10)
        assert not review(queue, 100.19)
        assert review(queue, 100.21)
        assert tiers(queue) == (2, 1, 0)

    def test_the_parked_come_back_when_others_go(self) -> None:
        queue = planned((0, 2000, 2.0), (4, 3000, 3.0))
        assert tiers(queue) == (1, 1, 0)
        queue.discard(0)
        assert review(queue)
        assert tiers(queue) == (1, 0, 0)

    def test_the_parked_come_back_when_the_rate_rises(self) -> None:
        queue = planned((0, 2000, 2.5), (4, 3000, 3.0))
        assert not review(queue, 100.01, rate=1.04 * RATE)
        assert review(queue, 100.01, rate=2 * RATE)
        assert tiers(queue) == (2, 0, 0)

    def test_the_parked_are_looked_at_now_and_then(self) -> None:
        """The link has delivered more than it was thought to."""
        queue = planned((0, 2000, 2.0), (4, 3000, 3.5))
        queue.served(0, 500)
        assert not review(queue, 100.01)
        assert review(queue, 100.06)
        assert tiers(queue) == (1, 1, 0)
        queue.served(0, 1400)
        assert review(queue, 100.12)
        assert tiers(queue) == (2, 0, 0)

    def test_the_hopeless_come_back_with_a_new_deadline(self) -> None:
        queue = planned((0, 2000, 0.5))
        assert tiers(queue) == (0, 0, 1)
        put(queue, 0, 2000, 5.0)
        assert tiers(queue) == (1, 0, 0)

    def test_a_slower_path_calls_for_a_plan(self) -> None:
        queue = planned((0, 1000, 1.2), (4, 1000, 2.2))
        assert not review(queue, delivery_s=0.15)
        assert review(queue, delivery_s=0.3)
        assert tiers(queue) == (1, 1, 0)

    def test_delivering_as_planned_needs_no_new_plan(self) -> None:
        queue = planned(*((4 * index, 1000, index + 1.6) for index in range(100)))
        review(queue)
        plans = 0
        now = 100.0
        while (stream_id := queue.first()) is not None:
            for packet in range(2):
                if packet == 0:
                    queue.served(stream_id, 500)
                else:
                    queue.discard(stream_id)
                now += 0.5
                plans += review(queue, now)
        assert plans == 0

    def test_delivering_less_than_planned_does(self) -> None:
        queue = planned((0, 1000, 1.1), (4, 1000, 2.1), (8, 1000, 3.1))
        assert not review(queue, 100.09)
        assert review(queue, 100.11)
        assert queue.kept == 2


class TestCost:
    def test_plans_are_as_rare_as_streams_are_many(self) -> None:
        """A thousand that come at once, too many for the link, and then go one by one."""
        queue = PlannedQueue()
        rng = random.Random(1)
        planned_streams = 0
        for index in range(1000):
            put(queue, 4 * index, 100, rng.uniform(1.0, 50.0))
            planned_streams += len(queue) * review(queue)
        for step in range(1000):
            stream_id = queue.first()
            assert stream_id is not None
            queue.discard(stream_id)
            planned_streams += len(queue) * review(queue, 100.0 + step / 100)
        # Five operations a stream, each of which pays for two streams in a plan.
        assert planned_streams <= 2 * 5 * 1000

    def test_few_streams_are_planned_at_once(self) -> None:
        queue = planned((0, 1000, 1.0), (4, 1000, 2.0), (8, 1000, 3.0))
        put(queue, 12, 1000, 2.5)
        assert review(queue)


def test_what_is_kept_fits_whatever_happens() -> None:
    """Against a sum over all streams, with few enough of them for a plan whenever one is due."""
    rng = random.Random(2)
    for _ in range(8):
        queue = PlannedQueue()
        streams: dict[int, tuple[float, int]] = {}
        now = 100.0
        for step in range(60):
            action = rng.random()
            if action < 0.4 and len(streams) < 8:
                streams[step] = now + rng.uniform(0.2, 6.0), rng.randint(100, 2000)
                queue.put(StreamOrder(step, arrived_at=now, deadline=streams[step][0]))
                queue.resize(step, streams[step][1])
            elif action < 0.5 and streams:
                queue.discard(gone := rng.choice(sorted(streams)))
                del streams[gone]
            elif (turn := queue.first()) is not None:
                deadline, size = streams[turn]
                sent = min(100, size)
                if sent == size:
                    queue.discard(turn)
                    del streams[turn]
                else:
                    queue.served(turn, sent)
                    streams[turn] = deadline, size - sent
                now += sent / RATE * rng.choice((0.9, 1.0, 1.1, 1.5))
            for late in [number for number, (deadline, _) in streams.items() if deadline < now]:
                queue.discard(late)
                del streams[late]
            review(queue, now)
            _check_that_it_fits(queue, streams, now)


def _check_that_it_fits(queue: PlannedQueue, streams: dict[int, tuple[float, int]], now: float) -> None:
    total = 0.0
    for stream_id in drain(copy.deepcopy(queue))[: queue.kept]:
        deadline, size = streams[stream_id]
        total += size
        assert total <= RATE * (deadline - now) + 1e-6
