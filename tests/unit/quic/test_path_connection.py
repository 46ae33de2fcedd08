"""What a connection makes of its path: packet size, acknowledgements, resets, and what it tells of all that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.quic.limits import FlowLimits
from proxy.quic.stateless_reset import FILLER_BYTES, reset_datagram
from proxy.testing.memory_link import LinkSettings
from tests.unit.quic.pair import Pair

WIDE = FlowLimits(stream_window_bytes=1024 * 1024, connection_window_bytes=4 * 1024 * 1024, max_streams=2000)
MakePair = Callable[..., Pair]


@pytest.fixture
def make_pair(certs: Path) -> MakePair:
    return lambda **settings: Pair(certs, **settings)


def write(pair: Pair, stream_id: int, size: int, *, end: bool = True) -> None:
    pair.client.connection.send_stream_data(stream_id, bytes(size), end)


def arrived(pair: Pair, *sizes: tuple[int, int]) -> Callable[[], bool]:
    """Whether the server has so many bytes of each stream."""
    return lambda: all(len(pair.server.data[stream_id]) >= size for stream_id, size in sizes)


# Acknowledgements


def test_a_lone_acknowledgement_waits_for_an_answer_to_ride_on(make_pair: MakePair) -> None:
    pair = make_pair()
    write(pair, 0, 100)
    sent = pair.link.downlink.statistics().sent
    pair.link.run(until=arrived(pair, (0, 100)))
    pair.link.run_for(0.019)
    counts = [pair.link.downlink.statistics().sent - sent]
    pair.link.run_for(0.002)
    counts.append(pair.link.downlink.statistics().sent - sent)
    assert counts == [0, 1]


def test_of_several_packets_the_acknowledgement_does_not_wait(make_pair: MakePair) -> None:
    pair = make_pair()
    write(pair, 0, 2000)  # two packets
    sent = pair.link.downlink.statistics().sent
    pair.link.run(until=arrived(pair, (0, 2000)))
    pair.link.run_for(0.002)
    assert pair.link.downlink.statistics().sent - sent == 1


def test_a_delayed_acknowledgement_is_no_longer_round_trip(make_pair: MakePair) -> None:
    pair = make_pair()
    for number in range(10):
        write(pair, 4 * number, 100)
        pair.link.run_for(0.1)
    path = pair.client.connection.path_statistics()
    assert path.rtt_s == pytest.approx(0.02, abs=0.003)
    assert not pair.client.connection.unanswered_timeouts


def test_an_acknowledgement_leaves_with_the_answer(make_pair: MakePair) -> None:
    pair = make_pair()
    write(pair, 0, 100)
    sent = pair.link.downlink.statistics().sent
    pair.link.run(until=arrived(pair, (0, 100)))
    pair.server.connection.send_stream_data(0, b"answer", end_stream=True)
    pair.link.run_for(1.0)
    assert pair.client.data[0] == b"answer"
    assert pair.link.downlink.statistics().sent - sent == 1


# Packet size


def test_the_packet_size_rises_to_what_the_path_carries(make_pair: MakePair) -> None:
    pair = make_pair(link=LinkSettings(delay_s=0.01, mtu_bytes=9000), discover_path_mtu=True)
    pair.link.run_for(5.0)
    assert pair.client.connection.path_statistics().datagram_bytes == 8952
    assert pair.server.connection.path_statistics().datagram_bytes == 8952
    write(pair, 0, 8000)
    assert [len(data) for data in pair.flush()] == [8031]


def test_probes_that_do_not_pass_cost_no_congestion_window(make_pair: MakePair) -> None:
    pair = make_pair(link=LinkSettings(delay_s=0.01, mtu_bytes=1500), discover_path_mtu=True)
    before = pair.client.connection.path_statistics().congestion_window_bytes
    pair.link.run_for(10.0)
    after = pair.client.connection.path_statistics()
    assert after.datagram_bytes == 1452
    assert after.congestion_window_bytes >= before


def test_a_path_that_shrinks_is_noticed(make_pair: MakePair) -> None:
    pair = make_pair(link=LinkSettings(delay_s=0.01, mtu_bytes=9000), limits=WIDE, discover_path_mtu=True)
    pair.link.run_for(5.0)
    pair.set_link(mtu_bytes=1300)
    write(pair, 0, 100_000)
    pair.link.run(until=arrived(pair, (0, 100_000)), within_s=10.0)
    assert pair.client.connection.path_statistics().datagram_bytes == 1200


# What the endpoint asks


def test_a_datagram_with_the_token_of_a_connection_id_is_a_reset(make_pair: MakePair) -> None:
    pair = make_pair(reset_secret=b"secret")
    client, server = pair.client.connection, pair.server.connection
    filler = bytes(FILLER_BYTES)
    assert len(server.connection_ids) > 1
    assert all(client.is_reset_by(reset_datagram(b"secret", cid, filler=filler)) for cid in server.connection_ids)
    assert not client.is_reset_by(reset_datagram(b"another", server.connection_ids[0], filler=filler))
    assert not client.is_reset_by(b"\x40" + bytes(60))
    assert not client.is_reset_by(b"short")


def test_what_the_connection_tells_of_itself(make_pair: MakePair) -> None:
    pair = make_pair(link=LinkSettings(delay_s=0.05))
    connection = pair.client.connection
    path = connection.path_statistics()
    assert path.min_rtt_s == pytest.approx(0.1, abs=0.001)
    assert path.rtt_s == pytest.approx(0.1, abs=0.03)
    assert (path.bytes_in_flight, path.datagram_bytes) == (0, 1200)
    awaits = [connection.awaits_acknowledgement]
    assert (connection.next_peer_stream_id, pair.server.connection.next_peer_stream_id) == (1, 0)
    write(pair, 0, 100)
    write(pair, 4, 100)
    pair.link.uplink.lose_next(1)
    pair.link.run_for(0.04)
    awaits.append(connection.awaits_acknowledgement)
    assert awaits == [False, True]
    assert connection.is_receiving(0)
    assert not connection.is_receiving(8)
    pair.link.run(until=arrived(pair, (0, 100), (4, 100)))
    assert pair.server.connection.next_peer_stream_id == 8


def test_timeouts_are_counted_until_the_peer_is_heard(make_pair: MakePair) -> None:
    pair = make_pair()
    pair.set_link(loss=1.0)
    write(pair, 0, 100)
    pair.link.run(until=lambda: pair.client.connection.unanswered_timeouts == 3)
    pair.set_link(loss=0.0)
    pair.link.run(until=arrived(pair, (0, 100)))
    pair.link.run_for(1.0)
    assert pair.client.connection.unanswered_timeouts == 0
