"""What the peer may send, and the streams it may open; resets and stops. Over a link in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from policies.scheduling.edf import EarliestDeadlineFirst
from proxy.quic.limits import FlowLimits
from tests.unit.quic.pair import CountingScheduler, Pair, arrived, write

MakePair = Callable[..., Pair]


@pytest.fixture
def make_pair(certs: Path) -> MakePair:
    return lambda **settings: Pair(certs, **settings)


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


def calls_a_packet(make_pair: MakePair, streams: int) -> float:
    """Of the scheduler, while the connection's credit and not the path is what limits the sender."""
    limits = FlowLimits(stream_window_bytes=1024 * 1024, connection_window_bytes=32 * 1024, max_streams=1000)
    counting = CountingScheduler(EarliestDeadlineFirst())
    pair = make_pair(scheduler=counting, limits=limits)
    for number in range(streams):
        pair.order(4 * number, deadline=pair.clock.now() + 1000.0)
        write(pair, 4 * number, 100_000)
    pair.link.run(until=lambda: pair.client.connection.statistics(now=pair.clock.now()).streams_ready == 0)
    assert not pair.client.connection.has_delivered
    before, sent = sum(counting.calls.values()), pair.link.uplink.statistics().sent
    pair.link.run_for(0.3)
    return (sum(counting.calls.values()) - before) / (pair.link.uplink.statistics().sent - sent)


def test_when_the_connection_has_no_credit_a_packet_costs_the_same_however_many_streams_wait(
    make_pair: MakePair,
) -> None:
    few, many = calls_a_packet(make_pair, 5), calls_a_packet(make_pair, 300)
    assert many <= few + 0.1
    assert many < 4


def test_what_is_lost_is_sent_again_without_the_connection_s_credit(make_pair: MakePair) -> None:
    pair = make_pair(limits=FlowLimits(stream_window_bytes=1024 * 1024, connection_window_bytes=32 * 1024))
    for number in range(20):
        write(pair, 4 * number, 5_000)
    pair.set_link(loss=0.3)
    pair.link.run(until=arrived(pair, *((4 * number, 5_000) for number in range(20))))
    assert all(pair.server.data[4 * number] == bytes([4 * number]) * 5_000 for number in range(20))
