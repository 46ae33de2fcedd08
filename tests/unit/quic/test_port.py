"""How ports are opened, on real sockets of this machine."""

from __future__ import annotations

import asyncio
import socket

import pytest

from proxy.quic.driver import Datagram
from proxy.quic.port import ClientPorts, open_server_port


class Arrivals:
    """Datagrams that a port was handed."""

    def __init__(self) -> None:
        self.datagrams: list[Datagram] = []
        self._news = asyncio.Event()

    def take(self, datagrams: list[Datagram], now: float) -> None:
        self.datagrams += datagrams
        self._news.set()

    async def first(self) -> Datagram:
        async with asyncio.timeout(5):
            await self._news.wait()
        return self.datagrams[0]


def ignore(_: OSError) -> None:
    pass


def nothing(_: list[Datagram], __: float) -> None:
    pass


@pytest.mark.parametrize(("host", "in_address"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
async def test_a_client_reaches_a_server(host: str, in_address: str) -> None:
    arrivals = Arrivals()
    server = open_server_port(host, 0, on_datagrams=arrivals.take)
    number = server.address[1]
    assert number > 0
    client, peer = await ClientPorts()(f"{in_address}:{number}", on_datagrams=nothing, on_unreachable=ignore)
    assert peer[:2] == (host, number)
    client.send([(b"hello", peer)])
    data, source = await arrivals.first()
    assert (data, source[:2]) == (b"hello", client.address[:2])
    client.close()
    server.close()


async def test_attempts_go_round_the_addresses_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    async def two(*_: object, **__: object) -> list[tuple[object, ...]]:
        kind = socket.SOCK_DGRAM
        return [
            (socket.AF_INET, kind, 17, "", ("127.0.0.1", 4433)),
            (socket.AF_INET, kind, 17, "", ("127.0.0.2", 4433)),
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", two)  # a name server's answer
    ports = ClientPorts()
    peers = []
    for _ in range(3):
        port, peer = await ports("daemon:4433", on_datagrams=nothing, on_unreachable=ignore)
        port.close()
        peers.append(peer[0])
    assert peers == ["127.0.0.1", "127.0.0.2", "127.0.0.1"]


async def test_an_address_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(socket.gaierror):
        await ClientPorts()("256.256.256.256:1", on_datagrams=nothing, on_unreachable=ignore)


async def test_an_address_that_is_not_ours_is_an_error() -> None:
    with pytest.raises(OSError, match="assign requested address"):
        open_server_port("192.0.2.1", 0, on_datagrams=nothing)


async def test_a_port_that_is_taken_is_an_error() -> None:
    first = open_server_port("127.0.0.1", 0, on_datagrams=nothing)
    with pytest.raises(OSError, match="in use"):
        open_server_port("127.0.0.1", first.address[1], on_datagrams=nothing)
    first.close()
