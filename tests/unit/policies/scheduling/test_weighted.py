from __future__ import annotations

from collections import Counter

import pytest

from policies.scheduling.base import StreamOrder
from policies.scheduling.weighted import Rounds, Weighted


def ready(*weights: float) -> Weighted:
    """Streams 0, 4, 8, … of these weights."""
    scheduler = Weighted()
    for index, weight in enumerate(weights):
        scheduler.add(StreamOrder(4 * index, 100.0, 1e9, weight=weight), unsent_bytes=10**9, now=100.0)
    return scheduler


def turns(scheduler: Weighted, packets: int, *, sent_bytes: int = 1500) -> list[int]:
    found = []
    for _ in range(packets):
        stream_id = scheduler.next(now=100.0)
        assert stream_id is not None
        found.append(stream_id)
        scheduler.served(stream_id, sent_bytes=sent_bytes, now=100.0)
    return found


def test_of_equal_weight_each_sends_a_packet_a_round() -> None:
    assert turns(ready(1.0, 1.0, 1.0), 7) == [0, 4, 8, 0, 4, 8, 0]


def test_a_round_by_hand() -> None:
    """The first may send two packets a round, the last one in two rounds."""
    assert turns(ready(2.0, 1.0, 0.5), 10) == [0, 0, 4, 8, 0, 0, 4, 0, 0, 4]


@pytest.mark.parametrize("sent_bytes", [1452, 1200, 400, 9000])
def test_shares_follow_weights_whatever_the_packets(sent_bytes: int) -> None:
    found = Counter(turns(ready(4.0, 2.0, 1.0, 0.25), 20_000, sent_bytes=sent_bytes))
    for stream_id, weight in ((0, 4.0), (4, 2.0), (8, 1.0), (12, 0.25)):
        assert found[stream_id] / 20_000 == pytest.approx(weight / 7.25, rel=0.02)


def test_a_weight_that_asks_for_a_million_rounds_costs_no_more_than_others() -> None:
    scheduler = ready(1e-6, 1e-9)
    assert turns(scheduler, 6) == [0, 4, 0, 4, 0, 4]
    scheduler.add(StreamOrder(8, 100.0, 1e9), unsent_bytes=10**9, now=100.0)
    assert turns(scheduler, 50) == [8] * 50


def test_a_new_stream_takes_part_from_the_next_round_on() -> None:
    scheduler = ready(2.0, 2.0)
    assert turns(scheduler, 1) == [0]
    scheduler.add(StreamOrder(8, 100.0, 1e9), unsent_bytes=10**9, now=100.0)
    assert turns(scheduler, 8) == [0, 4, 4, 0, 0, 4, 4, 8]


def test_streams_that_keep_coming_do_not_hold_a_round_up() -> None:
    scheduler = ready(1.0)
    served = 0
    for number in range(1, 200):
        scheduler.add(StreamOrder(4 * number, 100.0, 1e9), unsent_bytes=100, now=100.0)
        stream_id = scheduler.next(now=100.0)
        assert stream_id is not None
        if stream_id == 0:
            served += 1
            scheduler.served(0, sent_bytes=1500, now=100.0)
        else:
            scheduler.remove(stream_id)
    assert served > 10


def test_a_new_weight_counts_at_once() -> None:
    scheduler = ready(1.0, 1.0)
    scheduler.add(StreamOrder(0, 100.0, 1e9, weight=3.0), unsent_bytes=10**9, now=100.0)
    assert turns(scheduler, 9) == [4, 4, 0, 0, 0, 4, 0, 0, 0]  # from the second round on


def test_being_served_out_of_turn_is_paid_from_the_next_turn() -> None:
    rounds = Rounds()
    for stream_id in (0, 4):
        rounds.put(StreamOrder(stream_id, 100.0))
    rounds.served(4, 3000)
    turns = []
    for _ in range(4):
        first = rounds.first()
        assert first is not None
        turns.append(first)
        rounds.served(first, 1500)
    assert turns == [0, 0, 0, 4]
    rounds.discard(4)
    rounds.discard(4)
    assert rounds.first() == 0
    assert len(rounds) == 1
