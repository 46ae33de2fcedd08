"""A network in memory for whole tunnels: ports that take the place of UDP sockets, and the link between them.

    network = MemoryNetwork(uplink=LinkSettings(delay_s=0.05, loss=0.02), downlink=LinkSettings(delay_s=0.05))
    server = QuicServer(..., open_port=network.open_server_port)
    tunnel = QuicTunnel(..., open_port=network.open_client_port)

On a `proxy.testing.virtual_loop.VirtualTimeLoop`, whose clock is the network's.
"""

from __future__ import annotations

import asyncio
import errno
import os
import random
from collections.abc import Callable

from proxy.clock import Clock
from proxy.quic.driver import Address, Datagram
from proxy.quic.port import OnDatagrams, OnUnreachable
from proxy.testing.memory_link import CLIENT_ADDRESS, TIMER_LATENESS_S, Link, LinkSettings
from proxy.testing.virtual_loop import VirtualTimeLoop


class OffsetClock:
    """A clock that reads `offset_s` more than another: two machines' monotonic clocks have nothing in common."""

    def __init__(self, clock: Clock, offset_s: float) -> None:
        self._clock = clock
        self.offset_s = offset_s

    def __repr__(self) -> str:
        return f"<OffsetClock {self.offset_s:+g} s from {self._clock!r}>"

    def now(self) -> float:
        """Seconds, monotonic."""
        return self._clock.now() + self.offset_s


class MemoryNetwork:
    """Ports by their addresses, between them one link: all clients' `uplink`, all servers' `downlink`.

    Servers' clocks are ahead of the clients' by `server_clock_offset_s`. A datagram for an address without a port is
    answered with "connection refused", as by a host without a firewall, unless `refuses` is False.
    """

    def __init__(
        self,
        *,
        uplink: LinkSettings | None = None,
        downlink: LinkSettings | None = None,
        seed: int = 0,
        refuses: bool = True,
        server_clock_offset_s: float = 0.0,
    ) -> None:
        self.uplink = Link(uplink, rng=random.Random(f"uplink {seed}"))  # noqa: S311 -- a seed makes a run repeatable
        self.downlink = Link(downlink, rng=random.Random(f"downlink {seed}"))  # noqa: S311
        self.refuses = refuses
        self._loop = _virtual_loop()
        self.client_clock = OffsetClock(self._loop.clock, 0.0)
        self.server_clock = OffsetClock(self._loop.clock, server_clock_offset_s)
        self._ports: dict[Address, MemoryPort] = {}
        self._clients = 0

    def __repr__(self) -> str:
        return f"<MemoryNetwork {sorted(self._ports)}>"

    async def open_client_port(
        self, address: str, *, on_datagrams: OnDatagrams, on_unreachable: OnUnreachable
    ) -> tuple[MemoryPort, Address]:
        """See `proxy.quic.port.OpenClientPort`."""
        host, _, port = address.rpartition(":")
        own = (CLIENT_ADDRESS[0], CLIENT_ADDRESS[1] + self._clients)
        self._clients += 1
        opened = self._open(own, self.uplink, self.client_clock, on_datagrams, on_unreachable)
        return opened, (host, int(port))

    def open_server_port(self, host: str, port: int, *, on_datagrams: OnDatagrams) -> MemoryPort:
        """See `proxy.quic.port.OpenServerPort`."""
        if (host, port) in self._ports:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        return self._open((host, port), self.downlink, self.server_clock, on_datagrams, None)

    def vanish(self, address: Address) -> None:
        """Close the port there without a word to its owner, as when its process is killed."""
        self._ports[address].close()

    def rebind(self, old: Address, new: Address) -> None:
        """What came from `old` comes from `new` from now on, as when a NAT forgets: nothing reaches `old` any more."""
        port = self._ports.pop(old)
        port.address = new
        self._ports[new] = port

    def port(self, address: Address) -> MemoryPort:
        """The port that is open there."""
        return self._ports[address]

    def clients(self) -> list[Address]:
        """The addresses of the clients' ports that are open, the oldest first."""
        return [address for address, port in self._ports.items() if port.link is self.uplink]

    def _open(
        self,
        address: Address,
        link: Link,
        clock: OffsetClock,
        on_datagrams: OnDatagrams,
        on_unreachable: OnUnreachable | None,
    ) -> MemoryPort:
        port = MemoryPort(self, self._loop, clock, address, link, on_datagrams, on_unreachable)
        self._ports[address] = port
        return port

    def carry(self, sender: MemoryPort, datagram: Datagram) -> None:
        """Take a datagram to its address, if the link lets it through. For ports."""
        data, destination = datagram
        now = self._loop.clock.now()
        for arrives_at, copy in sender.link.send(data, now=now):
            self._loop.call_at(arrives_at, self._arrive, sender, copy, sender.address, destination)

    def forget(self, port: MemoryPort) -> None:
        """The port is closed. For ports."""
        if self._ports.get(port.address) is port:
            del self._ports[port.address]

    def _arrive(self, sender: MemoryPort, data: bytes, source: Address, destination: Address) -> None:
        receiver = self._ports.get(destination)
        if receiver is not None:
            receiver.take(data, source)
        elif self.refuses:
            delay_s = sender.link.settings.delay_s
            self._loop.call_later(delay_s, sender.refuse)


class MemoryPort:
    """One end. A `proxy.quic.port.Port`."""

    def __init__(
        self,
        network: MemoryNetwork,
        loop: VirtualTimeLoop,
        clock: OffsetClock,
        address: Address,
        link: Link,
        on_datagrams: OnDatagrams,
        on_unreachable: OnUnreachable | None,
    ) -> None:
        self.address = address
        self.link = link
        """What its datagrams go through."""
        self._network = network
        self._loop = loop
        self._clock = clock
        self._on_datagrams = on_datagrams
        self._on_unreachable = on_unreachable
        self._inbox: list[Datagram] = []
        self._closed = False

    def __repr__(self) -> str:
        return f"<MemoryPort {self.address[0]}:{self.address[1]}{' closed' if self._closed else ''}>"

    def now(self) -> float:
        """See the protocol."""
        return self._clock.now()

    def call_soon(self, callback: Callable[[], None], *, delay_s: float = 0.0) -> None:
        """See the protocol."""
        if delay_s > 0:
            self._loop.call_later(delay_s, callback)
        else:
            self._loop.call_soon(callback)

    def call_at(self, when: float, callback: Callable[[], None]) -> asyncio.Handle:
        """See the protocol."""
        return self._loop.call_at(when - self._clock.offset_s + TIMER_LATENESS_S, callback)

    def send(self, datagrams: list[Datagram]) -> None:
        """See the protocol."""
        if not self._closed:
            for datagram in datagrams:
                self._network.carry(self, datagram)

    def close(self) -> None:
        """See the protocol."""
        self._closed = True
        self._inbox.clear()
        self._network.forget(self)

    def take(self, data: bytes, source: Address) -> None:
        """A datagram has arrived. What arrives in one turn of the loop is handed on together, as from a socket."""
        if not self._inbox:
            self._loop.call_soon(self._hand_on)
        self._inbox.append((data, source))

    def refuse(self) -> None:
        """Nobody listens where something was sent to."""
        if self._on_unreachable is not None and not self._closed:
            self._on_unreachable(ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED)))

    def _hand_on(self) -> None:
        inbox, self._inbox = self._inbox, []
        if inbox and not self._closed:
            self._on_datagrams(inbox, self.now())


def _virtual_loop() -> VirtualTimeLoop:
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualTimeLoop):
        raise TypeError(f"a network in memory needs a VirtualTimeLoop, not {loop!r}")
    return loop
