"""The short way in: what it takes, and what it leaves to aioquic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proxy.quic.receiving_connection import ReceivingConnection
from proxy.testing.memory_link import SERVER_ADDRESS, LinkSettings
from tests.unit.quic.pair import Pair


class Ways:
    """Which way each datagram went at one end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, pair: Pair) -> None:
        self.short = self.long = 0
        take = ReceivingConnection._receive_short

        def count(connection: ReceivingConnection, data: bytes, addr: Any, now: float) -> bool:
            taken = take(connection, data, addr, now)
            if connection is pair.server.connection:
                self.short += taken
                self.long += not taken
            return taken

        monkeypatch.setattr(ReceivingConnection, "_receive_short", count)


def send(pair: Pair, size: int, *, stream_id: int = 0, end: bool = True) -> bytes:
    data = bytes(range(256)) * (size // 256)
    pair.client.connection.open_stream()
    pair.client.connection.write(stream_id, data, now=pair.clock.now(), end_stream=end)
    pair.link.run(until=lambda: stream_id in pair.server.ended)
    return data


def test_streams_and_acknowledgements_come_the_short_way(certs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair(certs)
    ways = Ways(monkeypatch, pair)
    data = send(pair, 8192)
    assert bytes(pair.server.data[0]) == data
    assert (ways.short > 5, ways.long) == (True, 0)


def test_what_is_lost_and_comes_out_of_order_arrives_whole(certs: Path) -> None:
    pair = Pair(certs, link=LinkSettings(delay_s=0.01, loss=0.1, reorder=0.2, reorder_delay_s=0.01))
    assert bytes(pair.server.data[0]) == b""
    data = send(pair, 8192)
    assert bytes(pair.server.data[0]) == data


def test_a_packet_that_comes_twice_counts_once(certs: Path) -> None:
    pair = Pair(certs, link=LinkSettings(delay_s=0.01, duplicate=1.0))
    data = send(pair, 4096)
    assert bytes(pair.server.data[0]) == data


def test_a_forged_packet_is_dropped(certs: Path) -> None:
    pair = Pair(certs)
    server, client = pair.server.connection, pair.client.connection
    packet = b"\x40" + server.host_cid + bytes(64)
    address = server.get_peer_address()
    server.receive_datagram(packet, address, now=pair.clock.now())
    client.receive_datagram(b"\x40" + client.host_cid + bytes(8), SERVER_ADDRESS, now=pair.clock.now())
    assert (server.is_settled, client.is_settled) == (True, True)
    assert bytes(pair.server.data[0]) == b""
    assert send(pair, 1024) == bytes(pair.server.data[0])


def test_new_keys_are_taken_up(certs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair(certs)
    ways = Ways(monkeypatch, pair)
    pair.client.connection.request_key_update()
    assert not pair.client.connection.is_settled
    assert send(pair, 1024) == bytes(pair.server.data[0])
    assert ways.long == 1  # the first packet with them
    assert pair.client.connection.is_settled


def test_more_than_the_peer_was_given_credit_for_closes_the_connection(certs: Path) -> None:
    pair = Pair(certs)
    pair.client.connection.open_stream()
    pair.server.connection._local_max_stream_data_bidi_remote = 100
    pair.client.connection.write(0, bytes(1000), now=pair.clock.now())
    pair.link.run(until=lambda: pair.client.connection.closed_by_peer is not None)
    closed = pair.client.connection.closed_by_peer
    assert closed is not None
    assert closed.reason_phrase == "Over stream data limit"
