"""The port to DNS. `proxy.testing.memory_resolver.MemoryResolver` is the other implementation."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import Protocol

from proxy.config import Address


class Resolver(Protocol):
    """Finds the addresses of a name."""

    async def resolve(self, host: str, port: int) -> tuple[Address, ...]:
        """All of them, IPv4 and IPv6, each once and with `port`; at least one. Raises OSError if there are none."""


class SystemResolver:
    """Asks as every program on this machine does: the hosts file, then DNS with its search domains."""

    async def resolve(self, host: str, port: int) -> tuple[Address, ...]:
        """See the port. Runs in a thread of the event loop's."""
        try:
            ipaddress.ip_address(host)
        except ValueError:
            pass
        else:
            return (Address(host, port),)
        loop = asyncio.get_running_loop()
        try:
            # AI_ADDRCONFIG: no addresses of a family that this machine has no address of.
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_ADDRCONFIG)
        except UnicodeError:  # a label of more than 63 letters; the codec's words don't say so
            raise OSError(0, "it is no name that DNS could have") from None
        return tuple(dict.fromkeys(Address(str(where[0]), port) for *_, where in found))
