"""Both ends of a QUIC tunnel in this process, joined by a network in memory, in virtual time.

    async with MemoryTunnel(certs, handler=answering(b"hello"), uplink=LinkSettings(delay_s=0.05)) as tunnel:
        answer = await exchange(tunnel.proxy, CallHead("/pkg.Service/Method"), b"request")

On a `proxy.testing.virtual_loop.VirtualTimeLoop`. What is measured with it repeats to the last packet.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from policies.traffic import TrafficClass
from proxy.quic.client import QuicClientSettings, QuicTunnel
from proxy.quic.server import QuicServer, QuicServerSettings
from proxy.testing.memory_link import LinkSettings
from proxy.testing.memory_port import MemoryNetwork
from proxy.tunnel.exchange import CallHandler, IncomingCall
from proxy.tunnel.gate import Gate, TokenCheck
from proxy.tunnel.tunnel import DaemonLoad

HOST, PORT = "localhost", 4433
ADDRESS = f"{HOST}:{PORT}"
"""Where the daemon is, in the network in memory. `headway certs` makes certificates for localhost."""
CLASSES = {
    "realtime": TrafficClass("realtime", 1.0, token_deadline_s=1.8, priority=0, level="high", weight=2.0),
    "standard": TrafficClass("standard", 2.0, token_deadline_s=1.8, priority=1),
    "bulk": TrafficClass("bulk", 7.0, token_deadline_s=2.3, priority=2),
}
"""Those that a configuration without classes has."""
TOKEN = b"the token"


class MemoryTunnel:
    """A daemon that serves calls with `handler`, and a proxy connected to it: `proxy` is the carrier for calls.

    `client` and `server` replace settings of the two ends (`QuicClientSettings`, `QuicServerSettings`). `tokens` is
    what the daemon lets in; it, `handler` and `load` may be changed while it runs.
    """

    def __init__(
        self,
        certs: Path,
        *,
        handler: CallHandler,
        uplink: LinkSettings | None = None,
        downlink: LinkSettings | None = None,
        seed: int = 0,
        refuses: bool = True,
        server_clock_offset_s: float = 0.0,
        scheduler: str = "edf",
        classes: Mapping[str, TrafficClass] | None = None,
        client: Mapping[str, Any] | None = None,
        server: Mapping[str, Any] | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.network = MemoryNetwork(
            uplink=uplink, downlink=downlink, seed=seed, refuses=refuses, server_clock_offset_s=server_clock_offset_s
        )
        self.handler = handler
        self.load = DaemonLoad()
        """What the daemon reports."""
        self.tokens: tuple[bytes, ...] = (TOKEN,)
        self.daemon: QuicServer
        self.proxy: QuicTunnel
        self._classes = classes or CLASSES
        self._rng = rng or random.Random(f"backoff {seed}")  # noqa: S311 -- a seed makes a run repeatable
        self._client = QuicClientSettings(
            **{
                "address": ADDRESS,
                "ca": certs / "ca.pem",
                "token": lambda: TOKEN,
                "scheduler": scheduler,
                "max_datagram_bytes": 1200,
                **(client or {}),
            }
        )
        self._server = QuicServerSettings(
            **{
                "host": HOST,
                "port": PORT,
                "cert": certs / "daemon.pem",
                "key": certs / "daemon.key",
                "scheduler": scheduler,
                "max_datagram_bytes": 1200,
                **(server or {}),
            }
        )
        self._gone: list[QuicServer] = []

    def __repr__(self) -> str:
        return f"<MemoryTunnel {self.network!r}>"

    async def __aenter__(self) -> Self:
        self.start_daemon()
        self.proxy = self.connect()
        await self.proxy.wait_settled()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.proxy.close()
        for daemon in (self.daemon, *self._gone):
            await daemon.close()

    def start_daemon(self) -> None:
        """Listen."""
        self.daemon = QuicServer(
            self._server,
            handler=self._handle,
            gate=Gate(
                tokens=TokenCheck(lambda: self.tokens),
                classes=self._classes,
                default_class="standard" if "standard" in self._classes else next(iter(self._classes)),
            ),
            clock=self.network.server_clock,
            load=lambda: self.load,
            open_port=self.network.open_server_port,
        )

    def kill_daemon(self) -> None:
        """It is gone without a word; nobody listens there any more."""
        self.network.vanish((HOST, PORT))
        self._gone.append(self.daemon)

    def connect(self, **settings: Any) -> QuicTunnel:
        """Another proxy's end."""
        return QuicTunnel(
            dataclasses.replace(self._client, **settings),
            classes=self._classes,
            clock=self.network.client_clock,
            rng=self._rng,
            open_port=self.network.open_client_port,
        )

    async def _handle(self, call: IncomingCall) -> None:
        await self.handler(call)
