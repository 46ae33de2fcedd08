"""Packets of acknowledgements and stream data, and those that have more in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proxy.quic.sending_connection import SendingConnection
from tests.unit.quic.pair import Pair


def plain_packets(monkeypatch: pytest.MonkeyPatch, pair: Pair) -> list[int]:
    """The sizes of the packets that the client makes in one go, as they are made."""
    sizes: list[int] = []
    make = SendingConnection._plain_datagrams

    def note(connection: SendingConnection, now: float) -> Any:
        datagrams = make(connection, now)
        if connection is pair.client.connection:
            sizes.extend(len(data) for data, _ in datagrams)
        return datagrams

    monkeypatch.setattr(SendingConnection, "_plain_datagrams", note)
    return sizes


def test_stream_data_fills_packets(certs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair(certs)
    sizes = plain_packets(monkeypatch, pair)
    connection = pair.client.connection
    before = connection.path_statistics()
    connection.open_stream()
    connection.write(0, bytes(3000), now=pair.clock.now(), end_stream=True)
    pair.link.run(until=lambda: 0 in pair.server.ended)
    assert sizes[:2] == [1200, 1200]
    assert 600 < sizes[2] < 700
    after = connection.path_statistics()
    assert after.sent_bytes - before.sent_bytes == sum(sizes)
    assert after.sent_packets - before.sent_packets == len(sizes)


def test_small_messages_share_a_packet(certs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair(certs)
    sizes = plain_packets(monkeypatch, pair)
    connection = pair.client.connection
    for stream_id in (0, 4, 8):
        connection.open_stream()
        connection.write(stream_id, bytes(100), now=pair.clock.now(), end_stream=True)
    pair.link.run(until=lambda: pair.server.ended == {0, 4, 8})
    assert len([size for size in sizes if size > 300]) == 1


def test_a_packet_with_a_reset_is_made_the_other_way(certs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair(certs)
    sizes = plain_packets(monkeypatch, pair)
    connection = pair.client.connection
    connection.open_stream()
    connection.write(0, bytes(100), now=pair.clock.now())
    connection.reset_stream(0, 0x10C)
    pair.link.run(until=lambda: bool(pair.server.resets))
    assert pair.server.resets == [(0, 0x10C)]
    assert all(size < 100 for size in sizes)


def test_the_congestion_window_holds(certs: Path) -> None:
    pair = Pair(certs)
    connection = pair.client.connection
    connection.open_stream()
    connection.write(0, bytes(200_000), now=pair.clock.now())
    connection.datagrams_to_send(pair.clock.now())
    path = connection.path_statistics()
    assert path.bytes_in_flight <= path.congestion_window_bytes
    assert connection.unsent_bytes(0) > 100_000
