"""A UDP forwarder: what stands between proxy and daemon where there is a NAT, or a link that fails."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self, cast

Address = tuple[str, int]


class _Socket(asyncio.DatagramProtocol):
    def __init__(self, forwarder: UdpForwarder, *, towards_daemon: bool) -> None:
        self._forwarder = forwarder
        self._towards_daemon = towards_daemon
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)  # which asyncio's own is not before Python 3.12

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if self._towards_daemon:
            self._forwarder.down(data, self)
        else:
            self._forwarder.up(data, addr)

    def error_received(self, exc: Exception) -> None:
        """What the kernel says of the other end is not passed on: a network is silent."""


class UdpForwarder:
    """Passes datagrams on between one proxy, which connects to `address`, and a daemon."""

    def __init__(self, daemon_address: str) -> None:
        host, _, port = daemon_address.rpartition(":")
        self._daemon = (host, int(port))
        self._proxy: Address | None = None
        self._inner: _Socket
        self._outer: _Socket
        self.cut = False
        """True: nothing gets through."""
        self.forwarded = 0
        self.source_ports: list[int] = []
        """From which ports the daemon has seen the proxy, the present one last."""

    @property
    def address(self) -> str:
        """Where the proxy connects."""
        port: int = self._inner.transport.get_extra_info("sockname")[1]
        return f"127.0.0.1:{port}"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        _, self._inner = await loop.create_datagram_endpoint(
            lambda: _Socket(self, towards_daemon=False), local_addr=("127.0.0.1", 0)
        )
        await self.rebind()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inner.transport.close()
        self._outer.transport.close()

    async def rebind(self) -> None:
        """Go on from another port, as a NAT does that has forgotten. Nothing reaches the old one any more."""
        old = self._outer if self.source_ports else None
        _, self._outer = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Socket(self, towards_daemon=True), remote_addr=self._daemon
        )
        if old is not None:
            old.transport.close()
        self.source_ports.append(self._outer.transport.get_extra_info("sockname")[1])

    def up(self, data: bytes, source: Address) -> None:
        """A datagram of the proxy's."""
        self._proxy = source
        if not self.cut:
            self.forwarded += 1
            self._outer.transport.sendto(data)

    def down(self, data: bytes, receiver: _Socket) -> None:
        """A datagram of the daemon's."""
        if self._proxy is not None and not self.cut and receiver is self._outer:
            self.forwarded += 1
            self._inner.transport.sendto(data, self._proxy)
