from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Coroutine

import pytest

from proxy.quic.driver import Address, Datagram
from proxy.testing.memory_link import LinkSettings
from proxy.testing.memory_port import MemoryNetwork
from proxy.testing.virtual_loop import VirtualTimeLoop


def run(main: Callable[[], Coroutine[None, None, None]]) -> None:
    loop = VirtualTimeLoop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


class Log:
    """What a port was handed."""

    def __init__(self) -> None:
        self.turns: list[tuple[float, list[Datagram]]] = []
        self.errors: list[OSError] = []

    def datagrams(self, datagrams: list[Datagram], now: float) -> None:
        self.turns.append((now, datagrams))


def test_datagrams_take_the_links_time_and_arrive_together() -> None:
    async def main() -> None:
        network = MemoryNetwork(uplink=LinkSettings(delay_s=0.05), downlink=LinkSettings(delay_s=0.2))
        server, client = Log(), Log()
        far = network.open_server_port("daemon", 4433, on_datagrams=server.datagrams)
        near, address = await network.open_client_port(
            "daemon:4433", on_datagrams=client.datagrams, on_unreachable=client.errors.append
        )
        near.send([(b"one", address), (b"two", address)])
        await asyncio.sleep(0.1)
        assert server.turns == [(0.05, [(b"one", near.address), (b"two", near.address)])]
        far.send([(b"three", near.address)])
        await asyncio.sleep(1.0)
        assert [datagrams for _, datagrams in client.turns] == [[(b"three", ("daemon", 4433))]]
        assert client.turns[0][0] == pytest.approx(0.3)
        assert client.errors == []

    run(main)


def test_nobody_there_is_told_to_the_client() -> None:
    async def main() -> None:
        network = MemoryNetwork(uplink=LinkSettings(delay_s=0.05))
        client = Log()
        port, address = await network.open_client_port(
            "daemon:4433", on_datagrams=client.datagrams, on_unreachable=client.errors.append
        )
        port.send([(b"one", address)])
        await asyncio.sleep(0.09)
        assert client.errors == []
        await asyncio.sleep(0.02)
        assert [error.errno for error in client.errors] == [errno.ECONNREFUSED]
        network.refuses = False
        port.send([(b"one", address)])
        await asyncio.sleep(1.0)
        assert len(client.errors) == 1

    run(main)


def test_a_port_that_is_taken_is_an_error() -> None:
    async def main() -> None:
        network = MemoryNetwork()
        first = network.open_server_port("daemon", 4433, on_datagrams=Log().datagrams)
        with pytest.raises(OSError, match="in use"):
            network.open_server_port("daemon", 4433, on_datagrams=Log().datagrams)
        first.close()
        network.open_server_port("daemon", 4433, on_datagrams=Log().datagrams)

    run(main)


def test_what_is_rebound_comes_from_elsewhere_and_is_reached_there_only() -> None:
    async def main() -> None:
        network = MemoryNetwork()
        server, client = Log(), Log()
        far = network.open_server_port("daemon", 4433, on_datagrams=server.datagrams)
        near, address = await network.open_client_port(
            "daemon:4433", on_datagrams=client.datagrams, on_unreachable=client.errors.append
        )
        old = near.address
        new: Address = ("198.51.100.1", 1)
        assert network.clients() == [old]
        network.rebind(old, new)
        assert network.clients() == [new]
        near.send([(b"one", address)])
        await asyncio.sleep(0.1)
        assert [datagrams for _, datagrams in server.turns] == [[(b"one", new)]]
        far.send([(b"lost", old), (b"two", new)])
        await asyncio.sleep(0.1)
        assert [datagrams for _, datagrams in client.turns] == [[(b"two", ("daemon", 4433))]]

    run(main)


def test_a_closed_port_neither_sends_nor_receives() -> None:
    async def main() -> None:
        network = MemoryNetwork(uplink=LinkSettings(delay_s=0.1))
        server = Log()
        far = network.open_server_port("daemon", 4433, on_datagrams=server.datagrams)
        near, address = await network.open_client_port(
            "daemon:4433", on_datagrams=Log().datagrams, on_unreachable=Log().errors.append
        )
        near.send([(b"one", address)])
        far.close()
        near.close()
        near.send([(b"two", address)])
        await asyncio.sleep(1.0)
        assert server.turns == []
        assert network.uplink.statistics().sent == 1
        assert repr(near) == "<MemoryPort 192.0.2.1:50000 closed>"

    run(main)


async def test_real_time_is_refused() -> None:
    with pytest.raises(TypeError, match="needs a VirtualTimeLoop"):
        MemoryNetwork()
