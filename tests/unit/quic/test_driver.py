"""UDP ports on real sockets of this machine."""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import AsyncIterator

import pytest

from proxy.quic.driver import Address, Datagram, UdpPort


class Inbox:
    """What a port was handed, turn by turn."""

    def __init__(self) -> None:
        self.turns: list[list[Datagram]] = []
        self.errors: list[OSError] = []
        self._news = asyncio.Event()

    def datagrams(self, datagrams: list[Datagram], now: float) -> None:
        assert abs(now - time.monotonic()) < 1.0
        self.turns.append(datagrams)
        self._news.set()

    def unreachable(self, error: OSError) -> None:
        self.errors.append(error)
        self._news.set()

    @property
    def payloads(self) -> list[bytes]:
        return [data for turn in self.turns for data, _ in turn]

    async def until(self, count: int) -> None:
        """Return once so many datagrams or errors are there."""
        async with asyncio.timeout(5):
            while len(self.payloads) + len(self.errors) < count:
                self._news.clear()
                await self._news.wait()


def udp(bind: str = "127.0.0.1") -> socket.socket:
    opened = socket.socket(socket.AF_INET6 if ":" in bind else socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind((bind, 0))
    return opened


@pytest.fixture
async def listening() -> AsyncIterator[tuple[UdpPort, Inbox]]:
    inbox = Inbox()
    port = UdpPort(udp(), on_datagrams=inbox.datagrams)
    yield port, inbox
    port.close()


def connected(address: Address, inbox: Inbox) -> UdpPort:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.connect(address)
    return UdpPort(opened, on_datagrams=inbox.datagrams, on_unreachable=inbox.unreachable)


async def test_datagrams_there_and_back(listening: tuple[UdpPort, Inbox]) -> None:
    server, heard = listening
    answers = Inbox()
    client = connected(server.address, answers)
    client.send([(b"one", server.address), (b"two", server.address)])
    await heard.until(2)
    assert heard.payloads == [b"one", b"two"]
    assert heard.turns[0][0][1] == client.address
    server.send([(b"three", client.address)])
    await answers.until(1)
    assert answers.payloads == [b"three"]
    client.close()


async def test_what_waits_on_the_socket_is_taken_in_at_once(listening: tuple[UdpPort, Inbox]) -> None:
    server, heard = listening
    with udp() as sender:
        for number in range(50):
            sender.sendto(b"%d" % number, server.address)
        await heard.until(50)
    assert heard.payloads == [b"%d" % number for number in range(50)]
    assert len(heard.turns) == 1


async def test_one_turn_takes_in_so_much_and_no_more(listening: tuple[UdpPort, Inbox]) -> None:
    server, heard = listening
    with udp() as sender:
        for _ in range(300):
            sender.sendto(b"x", server.address)
        await heard.until(300)
    assert [len(turn) for turn in heard.turns] == [128, 128, 44]


async def test_nobody_there_is_told_to_a_connected_port() -> None:
    with udp() as closed:
        address = closed.getsockname()
    inbox = Inbox()
    client = connected(address, inbox)
    client.send([(b"anybody?", address)])
    await inbox.until(1)
    assert [error.errno for error in inbox.errors] == [errno.ECONNREFUSED]
    client.close()


async def test_what_the_peer_said_before_it_went_is_heard_before_that_it_is_gone() -> None:
    order: list[object] = []
    done = asyncio.Event()
    with udp() as peer:
        address = peer.getsockname()
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.connect(address)
        peer.sendto(b"goodbye", opened.getsockname())
    opened.send(b"anybody?")  # refused: the kernel tells it before the datagram that waits

    def gone(error: OSError) -> None:
        order.append(error.errno)
        done.set()

    port = UdpPort(
        opened, on_datagrams=lambda datagrams, _: order.extend(data for data, _ in datagrams), on_unreachable=gone
    )
    port.send([(b"anybody?", address), (b"anybody?", address)])
    async with asyncio.timeout(5):
        await done.wait()
    assert order[:2] == [b"goodbye", errno.ECONNREFUSED]
    port.close()


async def test_a_datagram_too_long_for_the_path_is_no_failure(listening: tuple[UdpPort, Inbox]) -> None:
    server, heard = listening
    inbox = Inbox()
    client = connected(server.address, inbox)
    client.send([(bytes(65508), server.address), (b"fits", server.address)])
    await heard.until(1)
    assert (heard.payloads, inbox.errors) == ([b"fits"], [])
    client.close()


async def test_what_the_kernel_has_no_room_for_waits_and_keeps_its_order() -> None:
    # Datagrams between local sockets wait for their reader, which those of UDP do not.
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    far.setblocking(False)
    inbox = Inbox()
    port = UdpPort(near, on_datagrams=inbox.datagrams, on_unreachable=inbox.unreachable)
    sent = [b"%4096d" % number for number in range(2000)]
    port.send([(data, ("", 0)) for data in sent[:1900]])
    port.send([(data, ("", 0)) for data in sent[1900:]])
    assert "backlog=0>" not in repr(port)
    received: list[bytes] = []
    done = asyncio.Event()

    def read() -> None:
        received.append(far.recv(5000))
        if len(received) == len(sent):
            done.set()

    loop = asyncio.get_running_loop()
    loop.add_reader(far, read)
    async with asyncio.timeout(5):
        await done.wait()
    loop.remove_reader(far)
    assert received == sent
    assert "backlog=0>" in repr(port)
    assert inbox.errors == []
    port.close()
    far.close()


async def test_closing_twice_is_once(listening: tuple[UdpPort, Inbox]) -> None:
    server, _ = listening
    server.close()
    server.close()
    server.send([(b"into the void", ("127.0.0.1", 9))])
    assert repr(server) == "<UdpPort fd=-1 backlog=0>"


async def test_timers_run_on_the_clock_of_now(listening: tuple[UdpPort, Inbox]) -> None:
    server, _ = listening
    order: list[str] = []
    done = asyncio.Event()

    def last() -> None:
        order.append("at")
        done.set()

    server.call_at(server.now() + 0.02, last)
    server.call_soon(lambda: order.append("delayed"), delay_s=0.01)
    server.call_soon(lambda: order.append("soon"))
    await done.wait()
    assert order == ["soon", "delayed", "at"]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_the_kernel_is_asked_for_room_and_for_no_fragments(host: str) -> None:
    opened = udp(host)
    port = UdpPort(opened, on_datagrams=Inbox().datagrams)
    assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= 212992
    assert opened.getsockopt(socket.IPPROTO_IP, 10) == 3  # IP_MTU_DISCOVER: IP_PMTUDISC_PROBE
    if ":" in host:
        assert opened.getsockopt(socket.IPPROTO_IPV6, 23) == 3  # IPV6_MTU_DISCOVER
    port.close()
