"""DNS in memory.

resolver = MemoryResolver({"daemons.test": ["10.0.0.1", "10.0.0.2"]})
resolver.names["daemons.test"].remove("10.0.0.1")
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence

from proxy.config import Address


class MemoryResolver:
    """A `proxy.discovery.resolver.Resolver` whose names the test changes. One that is not there is not known.

    While `answering` is cleared, no question is answered.
    """

    def __init__(self, names: Mapping[str, Sequence[str]] | None = None) -> None:
        self.names = {name: list(hosts) for name, hosts in (names or {}).items()}
        self.asked = 0
        """How many questions came."""
        self.answering = asyncio.Event()
        self.answering.set()

    def __repr__(self) -> str:
        return f"<MemoryResolver {self.names} asked={self.asked}>"

    async def resolve(self, host: str, port: int) -> tuple[Address, ...]:
        """See the port."""
        self.asked += 1
        await self.answering.wait()
        hosts = self.names.get(host)
        if not hosts:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return tuple(dict.fromkeys(Address(one, port) for one in hosts))
