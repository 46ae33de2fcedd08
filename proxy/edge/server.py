"""The gRPC server that clients connect to: every method of every service, by bytes."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

import grpc
import grpc.aio

from proxy.clock import Clock
from proxy.config import TlsSettings
from proxy.http2.incoming import GenericHandler, plain_head
from proxy.http2.listening import add_port
from proxy.tunnel.exchange import CallHandler

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """Where clients connect."""

    address: str
    """`host:port`; port 0 lets the system choose."""
    max_message_bytes: int = 256 * 1024 * 1024
    tls: TlsSettings | None = None


def server_options(max_message_bytes: int) -> list[tuple[str, int | str]]:
    """Channel arguments of our gRPC servers.

    Clients may ping as often as Triton lets them (its `--grpc-http2-*` defaults).
    """
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.so_reuseport", 0),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 5000),
        ("grpc.http2.max_ping_strikes", 0),
        # A client's machine that vanishes without a word is noticed, and its calls given up, within 80 s.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.max_metadata_size", 64 * 1024),
        ("grpc.absolute_max_metadata_size", 128 * 1024),
    ]


class EdgeServer:
    """Runs `handler` for each call of each client."""

    def __init__(self, settings: EdgeSettings, *, handler: CallHandler, clock: Clock) -> None:
        self._settings = settings
        self._active = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._server = grpc.aio.server(options=server_options(settings.max_message_bytes))
        self._server.add_generic_rpc_handlers(
            (GenericHandler(handler, clock=clock, read_head=plain_head, active=self._count),)
        )
        self._port = 0

    def __repr__(self) -> str:
        return f"<EdgeServer {self._settings.address} port={self._port} calls={self._active}>"

    @property
    def port(self) -> int:
        """The TCP port listened on, once started."""
        return self._port

    @property
    def calls(self) -> int:
        """Calls under way."""
        return self._active

    async def start(self) -> None:
        """Listen. Raises `HeadwayError` naming the address if that is not possible."""
        self._port = add_port(self._server, self._settings.address, self._settings.tls)
        await self._server.start()

    async def drain(self, *, timeout_s: float) -> bool:
        """Wait until no call is under way; False if `timeout_s` was not enough.

        The handler refuses new ones meanwhile.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        """Stop listening; calls still under way are cancelled."""
        await self._server.stop(grace=None)

    def _count(self, change: int) -> None:
        self._active += change
        if self._active:
            self._idle.clear()
        else:
            self._idle.set()
