"""The port between connections and the network, and how it is opened.

`proxy.quic.driver.UdpPort` is the real one, `proxy.testing.memory_port.MemoryPort` the other. Who needs one is handed
`ClientPorts` or `open_server_port`, or what stands in for them.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Protocol

from proxy.quic.driver import Address, Datagram, UdpPort

OnDatagrams = Callable[[list[Datagram], float], None]
OnUnreachable = Callable[[OSError], None]


class Port(Protocol):
    """A UDP socket, or what behaves like one, on the running event loop."""

    @property
    def address(self) -> Address:
        """Where it receives."""

    def now(self) -> float:
        """Seconds on the event loop's clock."""

    def call_soon(self, callback: Callable[[], None], *, delay_s: float = 0.0) -> None:
        """Run `callback` in the event loop's next turn, or `delay_s` from now."""

    def call_at(self, when: float, callback: Callable[[], None]) -> asyncio.Handle:
        """Run `callback` at `when`, on the clock of `now`."""

    def send(self, datagrams: list[Datagram]) -> None:
        """Put datagrams on the wire, in order."""

    def close(self) -> None:
        """Stop listening."""


class OpenClientPort(Protocol):
    """Opens a port that talks to one peer."""

    async def __call__(
        self, address: str, *, on_datagrams: OnDatagrams, on_unreachable: OnUnreachable
    ) -> tuple[Port, Address]:
        """The port and the peer's address, for `address` as `host:port`. Raises OSError if there is no way there."""


class OpenServerPort(Protocol):
    """Opens a port that many peers talk to."""

    def __call__(self, host: str, port: int, *, on_datagrams: OnDatagrams) -> Port:
        """The port. Raises OSError if it can't be had; port 0 lets the system choose."""


class ClientPorts:
    """Opens connected UDP sockets, each to the next of the addresses that the peer's name has.

    So where a name has several, such as ::1 and 127.0.0.1 for localhost, an attempt that fails is followed by one at
    another address. See `OpenClientPort`.
    """

    def __init__(self) -> None:
        self._opened = 0

    async def __call__(
        self, address: str, *, on_datagrams: OnDatagrams, on_unreachable: OnUnreachable
    ) -> tuple[Port, Address]:
        host, _, port = address.rpartition(":")
        infos = await asyncio.get_running_loop().getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)
        family, _, _, _, resolved = infos[self._opened % len(infos)]
        self._opened += 1
        udp_socket = socket.socket(family, socket.SOCK_DGRAM)
        udp_socket.setblocking(False)  # noqa: FBT003 -- the standard library's signature
        try:
            udp_socket.connect(resolved)
        except OSError:
            udp_socket.close()
            raise
        peer: Address = udp_socket.getpeername()
        return UdpPort(udp_socket, on_datagrams=on_datagrams, on_unreachable=on_unreachable), peer


def open_server_port(host: str, port: int, *, on_datagrams: OnDatagrams) -> Port:
    """A bound UDP socket. See `OpenServerPort`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    udp_socket = socket.socket(family, socket.SOCK_DGRAM)
    try:
        udp_socket.bind((host, port))
    except OSError:
        udp_socket.close()
        raise
    return UdpPort(udp_socket, on_datagrams=on_datagrams)
