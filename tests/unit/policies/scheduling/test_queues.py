from __future__ import annotations

import re

import pytest

from policies.scheduling.base import StreamOrder
from policies.scheduling.queues import Circle, RankedQueue, Ranking


def entries(ranking: Ranking) -> int:
    found = re.search(r"entries=(\d+)", repr(ranking))
    assert found is not None
    return int(found[1])


def drain(ranking: Ranking) -> list[int]:
    found = []
    while (entry := ranking.first()) is not None:
        found.append(entry[1])
        ranking.discard(entry[1])
    return found


class TestRanking:
    def test_the_lowest_first(self) -> None:
        ranking = Ranking()
        for stream_id, rank in ((0, 3.0), (4, 1.0), (8, 2.0)):
            ranking.put(stream_id, (rank, stream_id))
        assert ranking.first() == ((1.0, 4), 4)
        assert len(ranking) == 3
        assert 8 in ranking
        assert drain(ranking) == [4, 8, 0]
        assert ranking.first() is None

    def test_a_moved_stream_is_where_it_was_moved_to(self) -> None:
        ranking = Ranking()
        ranking.put(0, (1.0, 0))
        ranking.put(4, (2.0, 4))
        ranking.put(0, (3.0, 0))
        assert drain(ranking) == [4, 0]
        ranking.put(0, (1.0, 0))
        ranking.put(0, (3.0, 0))
        ranking.put(0, (1.0, 0))
        ranking.put(4, (2.0, 4))
        assert drain(ranking) == [0, 4]

    def test_unknown_streams_are_discarded_without_a_word(self) -> None:
        ranking = Ranking()
        ranking.discard(0)
        ranking.put(0, (1.0, 0))
        ranking.discard(0)
        ranking.discard(0)
        assert repr(ranking) == "<Ranking streams=0 entries=0>"

    def test_moving_behind_a_stream_that_stays_needs_no_more_room(self) -> None:
        """Entries that no longer hold would come up, and be dropped, only once the stream in front is done."""
        ranking = Ranking()
        ranking.put(0, (0.5, 0))
        for step in range(3000):
            for stream_id in (4, 8, 12):
                ranking.put(stream_id, (200.0 + step + stream_id, stream_id))
        assert entries(ranking) < 100
        assert drain(ranking) == [0, 4, 8, 12]

    def test_coming_and_going_behind_a_stream_that_stays_needs_no_more_room(self) -> None:
        ranking = Ranking()
        ranking.put(0, (0.5, 0))
        for stream_id in range(4, 4000, 4):
            ranking.put(stream_id, (200.0, stream_id))
            ranking.discard(stream_id)
        assert entries(ranking) < 100
        assert drain(ranking) == [0]

    def test_room_grows_with_the_streams_that_are_here(self) -> None:
        ranking = Ranking()
        for stream_id in range(1000):
            ranking.put(stream_id, (-stream_id, stream_id))
        assert entries(ranking) == 1000
        assert drain(ranking) == list(range(999, -1, -1))
        assert entries(ranking) == 0


def test_a_ranked_queue_ranks_by_the_order_of_the_stream() -> None:
    queue = RankedQueue(lambda order: (order.priority, order.stream_id))
    for stream_id, priority in ((0, 2), (4, 1), (8, 1)):
        queue.put(StreamOrder(stream_id, 0.0, priority=priority))
    assert queue.first() == 4
    queue.served(4, 1200)
    assert queue.first() == 4
    queue.put(StreamOrder(4, 0.0, priority=3))
    assert queue.first() == 8
    queue.discard(8)
    assert queue.first() == 0
    assert len(queue) == 2
    assert 8 not in queue


class TestCircle:
    def test_who_is_served_goes_to_the_end(self) -> None:
        circle = Circle()
        for stream_id in (8, 0, 4):
            circle.put(StreamOrder(stream_id, 0.0))
        turns = []
        for _ in range(7):
            first = circle.first()
            assert first is not None
            turns.append(first)
            circle.served(first, 1200)
        assert turns == [8, 0, 4, 8, 0, 4, 8]

    def test_a_stream_that_is_put_again_keeps_its_place(self) -> None:
        circle = Circle()
        for stream_id in (0, 4, 0):
            circle.put(StreamOrder(stream_id, 0.0))
        assert len(circle) == 2
        assert circle.first() == 0

    @pytest.mark.parametrize("stream_id", [0, 999])
    def test_unknown_streams_are_discarded_without_a_word(self, stream_id: int) -> None:
        circle = Circle()
        circle.discard(stream_id)
        assert circle.first() is None
        assert stream_id not in circle
