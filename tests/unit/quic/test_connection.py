"""Two connections over a link in virtual time: who is served when, what credit allows, what is sent again."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policies.scheduling.base import PathEstimate, StreamOrder
from policies.scheduling.edf import EarliestDeadlineFirst
from policies.scheduling.registry import SCHEDULERS, make_scheduler
from policies.scheduling.round_robin import RoundRobin
from proxy.quic.connection import ScheduledConnection
from proxy.quic.limits import FlowLimits
from proxy.testing.memory_link import LinkSettings
from tests.unit.quic.pair import CountingScheduler, Pair, arrived, write

WIDE = FlowLimits(stream_window_bytes=1024 * 1024, connection_window_bytes=4 * 1024 * 1024, max_streams=2000)
SLOW = LinkSettings(delay_s=0.01, rate_bytes_s=1_000_000)
MakePair = Callable[..., Pair]


class SizesHeard(EarliestDeadlineFirst):
    """Keeps what it is told of."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[tuple[int, int]] = []
        self.paths: list[PathEstimate] = []
        self.log: list[tuple[str, int]] = []

    def add(self, order: StreamOrder, *, unsent_bytes: int, now: float) -> None:
        self.sizes.append((order.stream_id, unsent_bytes))
        self.log.append(("add", order.stream_id))
        super().add(order, unsent_bytes=unsent_bytes, now=now)

    def served(self, stream_id: int, *, sent_bytes: int, now: float) -> None:
        self.log.append(("served", stream_id))
        super().served(stream_id, sent_bytes=sent_bytes, now=now)

    def remove(self, stream_id: int) -> None:
        self.log.append(("remove", stream_id))
        super().remove(stream_id)

    def on_path(self, path: PathEstimate, *, now: float) -> None:
        self.paths.append(path)


@pytest.fixture
def make_pair(certs: Path) -> MakePair:
    return lambda **settings: Pair(certs, **settings)


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


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_urgent_streams_and_those_of_http3_come_before_all_scheduled_ones(make_pair: MakePair, scheduler: str) -> None:
    pair = make_pair(scheduler=make_scheduler(scheduler))
    for number in range(20):
        pair.order(4 * number, deadline=100.1 + number / 10, weight=1.0 + number)
        write(pair, 4 * number, 4000)
    pair.order(80, deadline=130.0, priority=5)
    write(pair, 80, 4000)
    pair.client.connection.make_urgent(80)
    write(pair, 2, 100, end=False)  # unidirectional, as HTTP/3's control stream
    pair.link.run(until=arrived(pair, *((4 * number, 4000) for number in range(20))))
    assert pair.server.arrivals[:2] == [80, 2]


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


def test_an_urgent_message_that_is_lost_goes_before_what_others_have_not_sent(make_pair: MakePair) -> None:
    heard = SizesHeard()
    pair = make_pair(scheduler=heard, limits=WIDE, link=SLOW)
    pair.order(0, deadline=110.0)
    write(pair, 0, 100_000)
    pair.link.run(until=arrived(pair, (0, 20_000)))
    pair.order(4, deadline=101.0)
    write(pair, 4, 2000, end=False)
    pair.link.uplink.lose_next(1)
    pair.link.run(until=arrived(pair, (4, 2000)))
    found = [index for index, (what, stream_id) in enumerate(heard.log) if (what, stream_id) == ("add", 4)]
    [_, lost_at] = found
    assert heard.log[lost_at - 1] == ("served", 0)  # which has more to send
    then = heard.log[lost_at + 1 :]
    assert {stream_id for _, stream_id in then[: then.index(("remove", 4))]} <= {4}


def test_the_lost_part_of_a_token_stream_is_as_urgent_as_its_message(make_pair: MakePair) -> None:
    pair = make_pair(scheduler=EarliestDeadlineFirst(), limits=WIDE, link=SLOW)
    connection, now = pair.client.connection, pair.clock.now()
    pair.order(0, deadline=110.0)
    pair.order(4, deadline=101.0)
    write(pair, 0, 1)  # the streams are there
    write(pair, 4, 1, end=False)
    pair.link.run(until=arrived(pair, (0, 1), (4, 1)))
    pair.order(8, deadline=105.0)
    pair.link.uplink.lose_next(1)
    connection.write(4, bytes(600), now=now, due_at=101.0)
    pair.link.run(until=lambda: pair.link.uplink.statistics().dropped == 1)
    connection.write(4, bytes(60_000), now=now, due_at=120.0)
    write(pair, 8, 60_000)
    pair.link.run(until=arrived(pair, (4, 601)))
    assert len(pair.server.data[8]) < 60_000
    assert pair.server.arrivals[:4] == [4, 0, 8, 4]
    pair.link.run(until=arrived(pair, (4, 60_601), (8, 60_000)))
    assert pair.server.arrivals[4:] == [8, 4]


def test_a_message_is_known_as_a_whole_whatever_the_windows_let_out(make_pair: MakePair) -> None:
    heard = SizesHeard()
    pair = make_pair(scheduler=heard)  # 16 KiB a stream, 256 KiB a connection
    write(pair, 0, 5_000_000)
    assert heard.sizes == [(0, 5_000_000)]
    pair.link.run(until=arrived(pair, (0, 100_000)))
    # Whenever credit lets it on, all that is left is known again.
    left = [size for _, size in heard.sizes]
    assert len(left) > 1
    assert left == sorted(left, reverse=True)
    assert left[-1] > 4_800_000


def test_bytes_that_are_lost_are_known_until_they_are_sent_again(make_pair: MakePair) -> None:
    heard = SizesHeard()
    pair = make_pair(scheduler=heard, limits=WIDE)
    write(pair, 0, 5000)
    pair.link.uplink.lose_next(1)
    pair.link.run(until=arrived(pair, (0, 5000)))
    [whole, lost] = heard.sizes
    assert whole == (0, 5000)
    assert lost[0] == 0
    assert 1100 < lost[1] < 1200  # one packet's bytes


def test_the_path_is_told_before_packets_are_made_and_when_it_has_changed(make_pair: MakePair) -> None:
    heard = SizesHeard()
    pair = make_pair(scheduler=heard, limits=WIDE, link=SLOW)
    assert heard.paths == []  # nothing was sent that is scheduled
    write(pair, 0, 400_000)
    pair.flush()
    assert [path.rtt_s for path in heard.paths] == [pytest.approx(0.02, abs=0.005)]
    assert heard.paths[0].delivery_s == heard.paths[0].rtt_s  # a client's
    pair.flush()
    assert len(heard.paths) == 1
    packets = pair.link.uplink.statistics().sent
    pair.link.run(until=arrived(pair, (0, 400_000)))
    packets = pair.link.uplink.statistics().sent - packets
    assert 1 < len(heard.paths) < packets / 2
    # 1 MB a second of QUIC packets, of which 1200 bytes hold 1168 of a stream.
    assert heard.paths[-1].rate_bytes_s == pytest.approx(973_000, rel=0.1)
    known = heard.paths[-1]
    other = SizesHeard()
    write(pair, 4, 10)
    pair.client.connection.use_scheduler(other, now=pair.clock.now())
    pair.flush()
    assert other.paths[0].rtt_s == pytest.approx(known.rtt_s, rel=0.2)


def test_writing_to_a_stream_that_is_not_open_is_refused(make_pair: MakePair) -> None:
    pair = make_pair()
    with pytest.raises(ValueError, match="stream 0 is not open"):
        pair.client.connection.write(0, b"data", now=pair.clock.now())


def test_it_tells_when_the_last_byte_left(make_pair: MakePair) -> None:
    pair = make_pair(link=SLOW, limits=WIDE)
    connection = pair.client.connection
    write(pair, 0, 10_000)
    assert connection.emptied_at(0) == 0.0
    began_at = pair.clock.now()
    pair.link.run(until=arrived(pair, (0, 10_000)))
    assert began_at <= connection.emptied_at(0) < pair.clock.now()
    assert connection.emptied_at(4) == 0.0


def test_statistics_tell_what_waits_and_on_what_path(make_pair: MakePair) -> None:
    pair = make_pair(scheduler=EarliestDeadlineFirst())
    connection, now = pair.client.connection, pair.clock.now()
    for stream_id in (0, 4):
        write(pair, stream_id, 10_000)
    statistics = connection.statistics(now=now)
    assert (statistics.streams, statistics.streams_ready, statistics.pending_bytes) == (2, 2, 20_000)
    assert (statistics.scheduler, statistics.scheduler_data["ready"]) == ("edf", 2)
    assert statistics.path == connection.path_statistics()
    pair.server.grants = False
    write(pair, 8, 100_000)
    pair.link.run_for(1.0)
    statistics = connection.statistics(now=now)
    # 16 KiB of stream 8 have gone, what else it has waits for credit; streams that nobody answers stay.
    assert (statistics.streams, statistics.streams_ready, statistics.pending_bytes) == (3, 0, 100_000 - 16 * 1024)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(st.sampled_from(list(SCHEDULERS)), min_size=1, max_size=6),
    sizes=st.lists(st.integers(1, 30_000), min_size=1, max_size=6),
    loss=st.sampled_from([0.0, 0.05]),
)
def test_switching_the_discipline_in_mid_transfer_loses_nothing(
    make_pair: MakePair, names: list[str], sizes: list[int], loss: float
) -> None:
    pair = make_pair(scheduler=make_scheduler(names[0]), link=SLOW)
    pair.set_link(loss=loss)
    expected = {}
    for number, size in enumerate(sizes):
        stream_id = 4 * number
        if number % 2:
            pair.order(stream_id, deadline=100.55 + number / 10)
        write(pair, stream_id, size)
        expected[stream_id] = bytes([stream_id % 251]) * size
    for name in names[1:]:
        pair.link.run_for(0.007)
        pair.client.connection.use_scheduler(make_scheduler(name), now=pair.clock.now())
    pair.link.run(until=lambda: pair.server.ended == set(expected))
    assert {stream_id: bytes(data) for stream_id, data in pair.server.data.items()} == expected
    pair.link.run_for(1.0)
    assert pair.client.connection.statistics(now=pair.clock.now()).streams_ready == 0


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
        connection._queue._senders = NeverWalked(connection._queue._senders)
    scheduler.calls.clear()
    write(pair, 2004, 3000)
    pair.link.run(until=arrived(pair, (2004, 3000)))
    pair.link.run_for(1.0)
    assert dict(scheduler.calls) == {"add": 1, "next": 4, "served": 2, "remove": 1}


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


def test_what_a_stream_held_goes_with_it_and_does_not_wait_for_the_garbage_collector(make_pair: MakePair) -> None:
    pair = make_pair()
    write(pair, 0, 4000)
    pair.link.run(until=arrived(pair, (0, 4000)))
    streams = [side.connection._streams[0] for side in (pair.client, pair.server)]
    held = [weakref.ref(part) for stream in streams for part in (stream, stream.sender, stream.receiver)]
    del streams
    gc.disable()
    try:
        pair.server.connection.send_stream_data(0, b"answer", end_stream=True)
        pair.link.run(until=partial(pair.client.ended.__contains__, 0))
        pair.link.run_for(1.0)
        assert [reference() for reference in held] == [None] * 6
    finally:
        gc.enable()


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
