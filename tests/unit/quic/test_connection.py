"""Two connections over a link in virtual time: who is served when, what credit allows, what is sent again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest

from policies.scheduling.edf import EarliestDeadlineFirst
from policies.scheduling.round_robin import RoundRobin
from proxy.quic.connection import ScheduledConnection
from proxy.quic.limits import FlowLimits
from proxy.testing.memory_link import LinkSettings
from tests.unit.quic.pair import CountingScheduler, Pair

WIDE = FlowLimits(stream_window_bytes=1024 * 1024, connection_window_bytes=4 * 1024 * 1024, max_streams=2000)
SLOW = LinkSettings(delay_s=0.01, rate_bytes_s=1_000_000)
MakePair = Callable[..., Pair]


@pytest.fixture
def make_pair(certs: Path) -> MakePair:
    return lambda **settings: Pair(certs, **settings)


def write(pair: Pair, stream_id: int, size: int, *, end: bool = True) -> None:
    """Let the client write bytes that tell their stream."""
    pair.client.connection.send_stream_data(stream_id, bytes([stream_id % 251]) * size, end)


def arrived(pair: Pair, *sizes: tuple[int, int]) -> Callable[[], bool]:
    """Whether the server has so many bytes of each stream."""
    return lambda: all(len(pair.server.data[stream_id]) >= size for stream_id, size in sizes)


# Order


def test_round_robin_serves_one_packet_a_stream_in_a_circle(make_pair: MakePair) -> None:
    pair = make_pair(scheduler=RoundRobin())
    for stream_id in (0, 4, 8):
        write(pair, stream_id, 4000)
    pair.link.run(until=arrived(pair, (0, 4000), (4, 4000), (8, 4000)))
    assert pair.server.arrivals == [0, 4, 8, 0, 4, 8, 0, 4, 8, 0, 4, 8]


def test_the_earliest_deadline_goes_first_and_keeps_the_link(make_pair: MakePair) -> None:
    pair = make_pair(scheduler=EarliestDeadlineFirst())
    for stream_id, deadline in ((0, 109.0), (4, 105.0), (8, 107.0)):
        pair.order(stream_id, deadline=deadline)
        write(pair, stream_id, 4000)
    pair.link.run(until=arrived(pair, (0, 4000)))
    assert pair.server.arrivals == [4, 8, 0]


def test_a_more_urgent_stream_interrupts_at_the_next_packet(make_pair: MakePair) -> None:
    pair = make_pair(scheduler=EarliestDeadlineFirst(), limits=WIDE, link=SLOW)
    pair.order(0, deadline=110.0)
    write(pair, 0, 60_000)
    pair.link.run(until=arrived(pair, (0, 10_000)))
    pair.order(4, deadline=101.0)
    write(pair, 4, 3000)
    pair.link.run(until=arrived(pair, (0, 60_000)))
    assert pair.server.arrivals == [0, 4, 0]


def test_a_stream_whose_order_changes_moves(make_pair: MakePair) -> None:
    pair = make_pair(scheduler=EarliestDeadlineFirst(), limits=WIDE, link=SLOW)
    for stream_id, deadline in ((0, 105.0), (4, 110.0)):
        pair.order(stream_id, deadline=deadline)
        write(pair, stream_id, 60_000)
    pair.link.run(until=arrived(pair, (0, 10_000)))
    pair.order(4, deadline=101.0)
    pair.link.run(until=arrived(pair, (0, 60_000)))
    assert pair.server.arrivals == [0, 4, 0]


def test_what_was_lost_is_sent_again_in_the_schedulers_order(make_pair: MakePair) -> None:
    pair = make_pair(scheduler=EarliestDeadlineFirst(), limits=WIDE, link=SLOW)
    pair.order(0, deadline=110.0)
    write(pair, 0, 100_000)
    pair.link.run(until=arrived(pair, (0, 30_000)))
    pair.order(4, deadline=101.0)
    write(pair, 4, 500)
    pair.link.uplink.lose_next(1)
    pair.link.run(until=arrived(pair, (0, 100_000), (4, 500)))
    assert pair.server.arrivals == [0, 4, 0]


def test_lost_bulk_waits_for_what_is_urgent(make_pair: MakePair) -> None:
    pair = make_pair(scheduler=EarliestDeadlineFirst(), limits=WIDE, link=SLOW)
    pair.order(0, deadline=110.0)
    write(pair, 0, 2400)
    pair.link.uplink.lose_next(1)
    pair.link.run(until=lambda: pair.link.uplink.statistics().dropped == 1)
    pair.order(4, deadline=101.0)
    write(pair, 4, 60_000)
    pair.link.run(until=arrived(pair, (0, 2400)))
    assert pair.server.arrivals == [4, 0]


def test_urgent_streams_and_those_of_http3_come_before_all_scheduled_ones(make_pair: MakePair) -> None:
    pair = make_pair(scheduler=EarliestDeadlineFirst())
    pair.order(0, deadline=100.1)
    write(pair, 0, 4000)
    pair.order(4, deadline=130.0)
    write(pair, 4, 4000)
    pair.client.connection.make_urgent(4)
    write(pair, 2, 100, end=False)  # unidirectional, as HTTP/3's control stream
    pair.link.run(until=arrived(pair, (0, 4000)))
    assert pair.server.arrivals == [4, 2, 0]


def test_another_discipline_holds_from_the_next_packet_on(make_pair: MakePair) -> None:
    pair = make_pair(scheduler=RoundRobin(), limits=WIDE, link=SLOW)
    for stream_id, deadline in ((0, 110.0), (4, 105.0)):
        pair.order(stream_id, deadline=deadline)
        write(pair, stream_id, 30_000)
    pair.link.run(until=lambda: len(pair.server.arrivals) == 6)
    pair.client.connection.use_scheduler(EarliestDeadlineFirst(), now=pair.clock.now())
    pair.link.run(until=arrived(pair, (0, 30_000), (4, 30_000)))
    first_six, rest = pair.server.arrivals[:6], pair.server.arrivals[6:]
    assert first_six == [0, 4, 0, 4, 0, 4]
    assert rest[-2:] == [4, 0]
    assert len(rest) < 16  # what was in flight at the switch


def test_a_window_smaller_than_a_packet_still_sends(make_pair: MakePair) -> None:
    pair = make_pair(limits=WIDE, link=LinkSettings(delay_s=0.01, mtu_bytes=20_000), discover_path_mtu=True)
    pair.link.run_for(3.0)
    assert pair.client.connection.path_statistics().datagram_bytes == 16_000
    pair.set_link(loss=0.4)  # with this the window stays at its least, two of the packets of the beginning
    write(pair, 0, 200_000)
    pair.link.run_for(5.0)
    pair.set_link(loss=0.0)
    pair.link.run(until=arrived(pair, (0, 200_000)))


# Cost


class NeverWalked(dict[int, Any]):
    """A table that may be asked for a key and not be walked."""

    def __iter__(self) -> NoReturn:
        raise AssertionError("the table was walked")

    values = items = keys = __iter__


def test_idle_streams_cost_nothing(make_pair: MakePair) -> None:
    scheduler = CountingScheduler(RoundRobin())
    pair = make_pair(scheduler=scheduler, limits=WIDE)
    idle = [4 * number for number in range(1, 501)]
    for stream_id in idle:
        write(pair, stream_id, 10, end=False)
    pair.link.run(until=arrived(pair, *((stream_id, 10) for stream_id in idle)))
    pair.link.run_for(1.0)
    for connection in (pair.client.connection, pair.server.connection):
        connection._streams = NeverWalked(connection._streams)
        connection._senders = NeverWalked(connection._senders)
    scheduler.calls.clear()
    write(pair, 2004, 3000)
    pair.link.run(until=arrived(pair, (2004, 3000)))
    pair.link.run_for(1.0)
    assert dict(scheduler.calls) == {"add": 1, "next": 4, "served": 2, "remove": 1}


# Credit


def test_a_reader_that_stops_holds_up_its_own_stream_only(make_pair: MakePair) -> None:
    pair = make_pair()
    pair.server.grants = False
    write(pair, 0, 100_000)
    pair.link.run_for(1.0)
    assert len(pair.server.data[0]) == 16 * 1024
    pair.server.grants = True
    write(pair, 4, 100_000)
    pair.link.run(until=arrived(pair, (4, 100_000)))
    assert len(pair.server.data[0]) == 16 * 1024
    pair.server.connection.grant(0, 16 * 1024)
    pair.link.run(until=arrived(pair, (0, 100_000)))
    assert pair.server.data[0] == bytes(100_000)
    assert pair.server.terminated is None


def test_credit_goes_back_in_quarters_of_the_window(make_pair: MakePair) -> None:
    pair = make_pair()
    pair.server.grants = False
    write(pair, 0, 100_000)
    pair.link.run_for(1.0)
    pair.server.connection.grant(0, 4095)
    pair.link.run_for(1.0)
    assert len(pair.server.data[0]) == 16384
    pair.server.connection.grant(0, 1)
    pair.link.run_for(1.0)
    assert len(pair.server.data[0]) == 16384 + 4096


def test_stopped_readers_do_not_use_up_the_connection(make_pair: MakePair) -> None:
    pair = make_pair()  # 32 streams of 16 KiB are twice the connection's window
    pair.server.grants = False
    for number in range(32):
        write(pair, 4 * number, 20_000)
    pair.link.run_for(2.0)
    assert {len(pair.server.data[4 * number]) for number in range(32)} == {16 * 1024}
    pair.server.grants = True
    write(pair, 396, 500_000)
    pair.link.run(until=arrived(pair, (396, 500_000)))


def test_the_sender_waits_for_the_connections_credit(make_pair: MakePair) -> None:
    limits = FlowLimits(stream_window_bytes=64 * 1024, connection_window_bytes=32 * 1024, max_streams=10)
    pair = make_pair(server_limits=limits)
    for stream_id in (0, 4):
        write(pair, stream_id, 200_000)
    pair.link.run(until=arrived(pair, (0, 200_000), (4, 200_000)))
    assert pair.server.terminated is None


def test_credit_that_is_lost_on_the_way_is_given_again(make_pair: MakePair) -> None:
    pair = make_pair()
    pair.server.grants = False
    write(pair, 0, 30_000)
    pair.link.run_for(1.0)
    pair.link.downlink.lose_next(1)
    pair.server.connection.grant(0, 16 * 1024)
    pair.link.run(until=arrived(pair, (0, 30_000)))
    assert pair.link.downlink.statistics().dropped == 1


def test_bytes_that_are_lost_are_sent_again_although_the_streams_credit_is_used_up(make_pair: MakePair) -> None:
    pair = make_pair()
    pair.link.uplink.lose_next(1)
    write(pair, 0, 100_000)
    pair.link.run(until=arrived(pair, (0, 100_000)), within_s=10.0)


def test_bytes_that_are_lost_are_sent_again_although_the_connections_credit_is_used_up(make_pair: MakePair) -> None:
    limits = FlowLimits(stream_window_bytes=64 * 1024, connection_window_bytes=16 * 1024, max_streams=10)
    pair = make_pair(server_limits=limits)
    pair.link.uplink.lose_next(1)
    write(pair, 0, 100_000)
    pair.link.run(until=arrived(pair, (0, 100_000)), within_s=10.0)


def test_there_is_word_once_when_a_stream_has_room_again(make_pair: MakePair) -> None:
    pair = make_pair(limits=WIDE, link=SLOW)  # low water is 4096 bytes
    write(pair, 0, 20_000, end=False)
    assert pair.client.connection.unsent_bytes(0) == 20_000
    pair.link.run(until=lambda: bool(pair.client.room))
    assert pair.client.room == [0]
    assert 0 < pair.client.connection.unsent_bytes(0) <= 4096
    pair.link.run_for(1.0)
    write(pair, 0, 4000, end=False)  # never above the mark
    pair.link.run_for(1.0)
    assert pair.client.room == [0]
    write(pair, 0, 5000, end=False)
    pair.link.run_for(1.0)
    assert pair.client.room == [0, 0]


# Streams


def test_streams_past_the_limit_wait_until_earlier_ones_are_over(make_pair: MakePair) -> None:
    two = FlowLimits(stream_window_bytes=16 * 1024, connection_window_bytes=256 * 1024, max_streams=2)
    pair = make_pair(server_limits=two)
    for stream_id in (0, 4, 8):
        write(pair, stream_id, 100)
    pair.link.run_for(1.0)
    assert sorted(pair.server.data) == [0, 4]
    pair.server.connection.send_stream_data(4, b"answer", end_stream=True)
    pair.link.run(until=arrived(pair, (8, 100)))
    assert pair.server.terminated is None


def test_a_stream_that_is_given_up_before_it_may_be_opened_harms_nobody(make_pair: MakePair) -> None:
    two = FlowLimits(stream_window_bytes=16 * 1024, connection_window_bytes=256 * 1024, max_streams=2)
    pair = make_pair(server_limits=two)
    for stream_id in (0, 4, 8):
        write(pair, stream_id, 100)
    pair.client.connection.reset_stream(8, 0x10C)
    pair.client.connection.stop_stream(8, 0x10C)
    pair.link.run_for(1.0)
    assert (pair.server.terminated, pair.client.terminated) == (None, None)
    pair.server.connection.send_stream_data(4, b"answer", end_stream=True)
    pair.link.run(until=lambda: pair.server.resets == [(8, 0x10C)])
    assert pair.server.stops == [(8, 0x10C)]


def test_streams_that_are_over_are_forgotten_and_make_room(make_pair: MakePair) -> None:
    few = FlowLimits(stream_window_bytes=16 * 1024, connection_window_bytes=256 * 1024, max_streams=4)
    pair = make_pair(server_limits=few)
    for stream_id in range(0, 400, 4):
        write(pair, stream_id, 100)
        pair.link.run(until=partial(pair.server.ended.__contains__, stream_id))
        pair.server.connection.send_stream_data(stream_id, b"answer", end_stream=True)
        pair.link.run(until=partial(pair.client.ended.__contains__, stream_id))
    pair.link.run_for(1.0)
    for side in (pair.client, pair.server):
        assert "streams=0 <RoundRobin ready=0>" in repr(side.connection)


@pytest.mark.parametrize("losses", [0, 1, 2])
def test_a_reset_and_a_stop_arrive_whatever_is_lost(make_pair: MakePair, losses: int) -> None:
    pair = make_pair()
    write(pair, 0, 100, end=False)
    pair.link.run(until=arrived(pair, (0, 100)))
    pair.link.run_for(1.0)
    pair.link.uplink.lose_next(losses)
    pair.client.connection.reset_stream(0, 0x10C)
    pair.client.connection.stop_stream(0, 0x10D)
    pair.link.run(until=lambda: bool(pair.server.resets and pair.server.stops))
    assert (pair.server.resets, pair.server.stops) == ([(0, 0x10C)], [(0, 0x10D)])
    pair.link.run(until=lambda: pair.client.resets == [(0, 0x10D)])  # what a stop asks for (RFC 9000 section 3.5)
    pair.link.run_for(1.0)
    assert "streams=0" in repr(pair.client.connection)
    assert "streams=0" in repr(pair.server.connection)


def test_a_stopped_stream_drops_what_still_waits(make_pair: MakePair) -> None:
    pair = make_pair()
    pair.server.grants = False
    write(pair, 0, 100_000, end=False)
    pair.link.run_for(1.0)
    pair.server.connection.stop_stream(0, 0x100)
    pair.link.run(until=lambda: pair.server.resets == [(0, 0x100)])
    assert pair.client.stops == [(0, 0x100)]
    write(pair, 0, 10, end=False)  # the caller does not know yet
    pair.link.run_for(1.0)
    assert len(pair.server.data[0]) == 16 * 1024


def test_a_connection_that_closes_is_not_ready_and_says_why(make_pair: MakePair) -> None:
    pair = make_pair()
    ready = [pair.client.connection.is_ready]
    pair.client.connection.close(error_code=0x100, reason_phrase="enough")
    ready.append(pair.client.connection.is_ready)
    assert ready == [True, False]
    pair.link.run(until=lambda: pair.server.terminated is not None and pair.client.terminated is not None)
    assert pair.server.terminated is not None
    assert pair.server.terminated.reason_phrase == "enough"


def test_repr_shows_role_state_and_queue(make_pair: MakePair) -> None:
    pair = make_pair(scheduler=RoundRobin())
    write(pair, 0, 10)
    expected = "<ScheduledConnection client CONNECTED streams=1 <RoundRobin ready=1>>"
    assert repr(pair.client.connection) == expected


def test_a_stream_without_a_number_is_refused() -> None:
    class Numberless:
        stream_id = None

    connection = object.__new__(ScheduledConnection)
    with pytest.raises(ValueError, match="without a number"):
        connection.append(Numberless())  # type: ignore[arg-type]
