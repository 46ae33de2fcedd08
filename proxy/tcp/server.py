"""The daemon's end of TLS/TCP tunnels: a gRPC server on the port that QUIC has too."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from proxy.clock import Clock
from proxy.control_call import CONTROL_PATH, serve_control
from proxy.edge.server import server_options
from proxy.errors import CallError, Code, HeadwayError
from proxy.http2.incoming import GenericHandler, readable_peer
from proxy.http2.listening import server_credentials
from proxy.tcp.fields import read_fields
from proxy.tunnel.clock_sync import RoundTrip
from proxy.tunnel.exchange import CallHandler, CallHead, CallStatus, CallTimes, IncomingCall
from proxy.tunnel.gate import Gate, PeerClock
from proxy.tunnel.tunnel import DaemonLoad

logger = logging.getLogger(__name__)

_MAX_PEERS = 4096
"""Connections whose clocks are remembered; the longest unused one is forgotten first."""


@dataclass(frozen=True, slots=True)
class TcpServerSettings:
    """What the daemon's TCP port needs to know; files in PEM."""

    address: str
    """`host:port`; port 0 lets the system choose."""
    cert: Path
    key: Path
    client_ca: Path | None = None
    """Proxies must show a certificate that these authorities signed; None: no client certificates."""
    max_message_bytes: int = 256 * 1024 * 1024


class TcpServer:
    """Accepts tunnels and runs `handler` for each call."""

    def __init__(
        self,
        settings: TcpServerSettings,
        *,
        handler: CallHandler,
        gate: Gate,
        clock: Clock,
        load: Callable[[], DaemonLoad],
    ) -> None:
        self._settings = settings
        self._handler = handler
        self._gate = gate
        self._clock = clock
        self._load = load
        self._clocks: OrderedDict[str, PeerClock] = OrderedDict()
        self._calls = 0
        self._draining = False
        self._controls: set[IncomingCall] = set()
        self._untold: set[IncomingCall] = set()
        self._news = asyncio.Event()
        self._port = 0
        self._server = grpc.aio.server(options=server_options(settings.max_message_bytes))
        self._server.add_generic_rpc_handlers(
            (GenericHandler(self._serve, clock=clock, read_head=self._read_head, active=self._count),)
        )

    def __repr__(self) -> str:
        return f"<TcpServer port={self._port} calls={self._calls} draining={self._draining}>"

    @property
    def port(self) -> int:
        """The TCP port listened on, once started."""
        return self._port

    def round_trips(self) -> Mapping[str, RoundTrip]:
        """What an exchange with each connected proxy takes, by its address; those that have not told are left out."""
        clocks = {control.head.peer: self._clock_of(control.head.peer) for control in self._controls}
        return {peer: clock.round_trip for peer, clock in clocks.items() if clock.round_trip is not None}

    async def start(self) -> None:
        """Listen. Raises `HeadwayError` naming the address if that is not possible."""
        settings = self._settings
        credentials = server_credentials(settings)
        try:
            self._port = self._server.add_secure_port(settings.address, credentials)
        except RuntimeError as error:
            raise HeadwayError(f"can't listen on {settings.address}: {error}") from None
        await self._server.start()

    def drain(self) -> None:
        """Refuse new calls from now on."""
        self._draining = True
        self._untold = set(self._controls)

    async def wait_told(self) -> None:
        """Return once every proxy knows that the daemon drains, from the answer to its next report.

        What a proxy sends until then is refused, with word that it may be tried elsewhere. Without this it would find
        a closed connection instead, and could not tell whether the call was executed.
        """
        if not self._untold:
            return
        while self._untold:
            self._news.clear()
            await self._news.wait()
        await asyncio.sleep(_CROSSING_S)

    async def close(self) -> None:
        """Stop listening; calls still under way are cancelled."""
        await self._server.stop(grace=None)

    def _count(self, change: int) -> None:
        self._calls += change

    def _read_head(self, path: str, context: Any, now: float) -> CallHead:
        """The head as the gate has it. What the gate refuses is kept in the head's place and answered by `_serve`."""
        request = read_fields(path, context.invocation_metadata(), remaining_s=context.time_remaining())
        peer = readable_peer(context.peer())
        try:
            head = self._gate.head(request, clock=self._clock_of(peer), peer=peer, now=now)
            if path == CONTROL_PATH:
                return head
            return head._replace(times=CallTimes(tells=bool(request.traffic_class)))
        except CallError as error:
            logger.warning("Refused a call from %s: %s", peer, error.message)
            return CallHead(path="", metadata=((_REFUSED, error.message),), peer=peer)

    async def _serve(self, call: IncomingCall) -> None:
        head = call.head
        if not head.path:
            await call.finish(CallStatus(Code.UNAUTHENTICATED, str(head.metadata[0][1])))
        elif head.path == CONTROL_PATH:
            await self._serve_control(call)
        elif self._draining:
            reason = (("x-headway-dropped-reason", "rejected-shutting-down"),)
            await call.finish(CallStatus(Code.UNAVAILABLE, "the daemon is shutting down", reason))
        else:
            await self._handler(call)

    async def _serve_control(self, call: IncomingCall) -> None:
        def load() -> DaemonLoad:
            if self._draining:
                self._told(call)
            return replace(self._load(), draining=self._draining)

        self._controls.add(call)
        try:
            await serve_control(call, peer=self._clock_of(call.head.peer), clock=self._clock, load=load)
        finally:
            self._controls.discard(call)
            self._told(call)

    def _told(self, control: IncomingCall) -> None:
        self._untold.discard(control)
        self._news.set()

    def _clock_of(self, peer: str) -> PeerClock:
        clock = self._clocks.get(peer)
        if clock is None:
            clock = self._clocks[peer] = PeerClock()
            if len(self._clocks) > _MAX_PEERS:
                self._clocks.popitem(last=False)
        else:
            self._clocks.move_to_end(peer)
        return clock


_REFUSED = "refused"
_CROSSING_S = 0.1
"""How long calls may have been on their way when their proxies heard that the daemon drains."""
