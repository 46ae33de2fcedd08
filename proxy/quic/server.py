"""The daemon's end of QUIC tunnels: one UDP port, many proxies.

Datagrams find their connection by the connection ID in front; a datagram of a connection that is not known here any
more is answered with a stateless reset, so that a proxy learns at once that the daemon was restarted (RFC 9000 section
10.3).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from aioquic._buffer import Buffer
from aioquic.quic.configuration import SMALLEST_MAX_DATAGRAM_SIZE, QuicConfiguration
from aioquic.quic.packet import (
    QuicPacketType,
    encode_quic_version_negotiation,
    pull_quic_header,
)
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from policies.scheduling.base import StreamOrder
from policies.scheduling.registry import make_scheduler
from policies.traffic import NO_DEADLINE
from proxy.clock import Clock
from proxy.control_call import CONTROL_PATH, serve_control
from proxy.errors import CallError, Code
from proxy.quic.calls import StreamIncomingCall
from proxy.quic.client import ALPN
from proxy.quic.connection import ScheduledConnection
from proxy.quic.driver import Address, Datagram
from proxy.quic.endpoint import Endpoint, StreamUser
from proxy.quic.limits import FlowLimits, ServedTunnel
from proxy.quic.port import OpenServerPort, open_server_port
from proxy.quic.stateless_reset import FILLER_BYTES, SHORTEST_ANSWERED_BYTES, reset_datagram
from proxy.quic.statistics import ConnectionStatistics
from proxy.tasks import spawn
from proxy.tunnel.answer_deadlines import AnswerDeadlines
from proxy.tunnel.exchange import CallHandler, CallStatus, CallTimes
from proxy.tunnel.gate import Gate, PeerClock
from proxy.tunnel.headers import TunnelRequest
from proxy.tunnel.tunnel import DaemonLoad

logger = logging.getLogger(__name__)

CID_BYTES = 8
_ACCESS_DENIED = 0x100 + 49
"""CRYPTO_ERROR with TLS' alert access_denied (RFC 9001 section 4.8, RFC 8446 section 6)."""
_RESETS_A_SECOND = 100


@dataclass(frozen=True, slots=True)
class QuicServerSettings:
    """What the daemon's QUIC port needs to know."""

    host: str
    port: int
    cert: Path
    key: Path
    client_ca: Path | None = None
    """Proxies must show a certificate that these authorities signed; None: no client certificates."""
    scheduler: str = "edf"
    congestion_control: str = "bbr"
    max_datagram_bytes: int | None = None
    """UDP payload to use; None: found out."""
    max_message_bytes: int = 256 * 1024 * 1024
    limits: FlowLimits = field(default_factory=FlowLimits)
    idle_timeout_s: float = 60.0


class QuicServer:
    """Accepts tunnels and runs `handler` for each call in a task of its own."""

    def __init__(
        self,
        settings: QuicServerSettings,
        *,
        handler: CallHandler,
        gate: Gate,
        clock: Clock,
        load: Callable[[], DaemonLoad],
        open_port: OpenServerPort = open_server_port,
    ) -> None:
        self._settings = settings
        self._handler = handler
        self._gate = gate
        self._clock = clock
        self._load = load
        self._endpoints: dict[bytes, Endpoint] = {}
        self._peers: dict[Endpoint, PeerClock] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._scheduler = settings.scheduler
        self._draining = False
        self._configuration = self._make_configuration()
        self._reset_secret = hashlib.sha256(b"headway stateless reset" + settings.key.read_bytes()).digest()
        self._reset_budget = (0.0, 0)
        self._client_verifier = None if settings.client_ca is None else _verifier(settings.client_ca)
        self._port = open_port(settings.host, settings.port, on_datagrams=self._received)

    def __repr__(self) -> str:
        return f"<QuicServer {self.port} tunnels={len(self._peers)} calls={len(self._tasks)} draining={self._draining}>"

    @property
    def port(self) -> int:
        """The UDP port listened on."""
        return self._port.address[1]

    @property
    def calls(self) -> int:
        """Calls being served."""
        return len(self._tasks)

    def tunnels(self) -> tuple[ServedTunnel, ...]:
        """The tunnels that are up, in the order in which they came."""
        return tuple(
            # A peer that has never reported keeps no control call.
            ServedTunnel(
                _peer_name(endpoint),
                endpoint.users - (peer.offset_s is not None),
                endpoint.connection.path_statistics(),
            )
            for endpoint, peer in self._peers.items()
            if endpoint.http is not None
        )

    def statistics(self) -> tuple[ConnectionStatistics, ...]:
        """What waits on each tunnel."""
        now = self._clock.now()
        return tuple(endpoint.connection.statistics(now=now) for endpoint in self._peers)

    def use_scheduler(self, name: str) -> None:
        """Order answers by another discipline, on all tunnels. Raises ValueError for an unknown one."""
        make_scheduler(name)
        self._scheduler = name
        now = self._clock.now()
        for endpoint in self._peers:
            endpoint.connection.use_scheduler(make_scheduler(name), now=now)

    def drain(self) -> None:
        """Take no new calls: GOAWAY to every proxy (RFC 9114 section 5.2). Calls under way go on."""
        self._draining = True
        for endpoint in self._peers:
            if endpoint.http is not None:
                endpoint.http.send_goaway(endpoint.connection.next_peer_stream_id)
                endpoint.flush_soon()

    async def wait_delivered(self) -> None:
        """Return once every proxy has everything that was sent to it: a finished answer may still be on its way."""
        await asyncio.gather(*(endpoint.wait_delivered() for endpoint in self._peers))

    async def close(self) -> None:
        """Cancel what is still served, close every tunnel, stop listening."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for endpoint in list(self._peers):
            endpoint.close(reason="daemon closes")
        self._port.close()

    # Datagrams

    def _received(self, datagrams: list[Datagram], now: float) -> None:
        turns: dict[Endpoint, list[Datagram]] = {}
        for datagram in datagrams:
            endpoint = self._endpoint_of(datagram, now)
            if endpoint is not None:
                turns.setdefault(endpoint, []).append(datagram)
        for endpoint, batch in turns.items():
            endpoint.receive(batch, now)

    def _endpoint_of(self, datagram: Datagram, now: float) -> Endpoint | None:
        data, address = datagram
        if not data:
            return None
        if not data[0] & 0x80:  # a short header: the connection ID follows the first byte (RFC 9000 section 17.3.1)
            endpoint = self._endpoints.get(data[1 : 1 + CID_BYTES])
            if endpoint is None:
                self._reset(data, address, now)
            return endpoint
        try:
            header = pull_quic_header(Buffer(data=data), host_cid_length=CID_BYTES)
        except ValueError:
            return None
        if (
            header.packet_type != QuicPacketType.VERSION_NEGOTIATION
            and header.version is not None
            and header.version not in self._configuration.supported_versions
        ):
            if len(data) >= SMALLEST_MAX_DATAGRAM_SIZE:
                negotiation = encode_quic_version_negotiation(
                    source_cid=header.destination_cid,
                    destination_cid=header.source_cid,
                    supported_versions=self._configuration.supported_versions,
                )
                self._port.send([(negotiation, address)])
            return None
        endpoint = self._endpoints.get(header.destination_cid)
        if (
            endpoint is None
            and header.packet_type == QuicPacketType.INITIAL
            and len(data) >= SMALLEST_MAX_DATAGRAM_SIZE
        ):
            endpoint = self._new_endpoint(header.destination_cid)
        return endpoint

    def _new_endpoint(self, original_cid: bytes) -> Endpoint:
        def make_connection(on_room: Callable[[int], None]) -> ScheduledConnection:
            return ScheduledConnection(
                scheduler=make_scheduler(self._scheduler),
                limits=self._settings.limits,
                on_room=on_room,
                discover_path_mtu=self._settings.max_datagram_bytes is None,
                ask_for_certificate=self._client_verifier is not None,
                reset_secret=self._reset_secret,
                configuration=self._configuration,
                original_destination_connection_id=original_cid,
            )

        endpoint = Endpoint(
            port=self._port,
            make_connection=make_connection,
            accept=self._accept,
            on_ready=self._check_certificate,
            on_end=self._ended,
            on_ids=self._learn_ids,
        )
        self._peers[endpoint] = PeerClock()
        self._endpoints[original_cid] = endpoint
        self._learn_ids(endpoint)
        return endpoint

    def _check_certificate(self, endpoint: Endpoint) -> None:
        """The handshake is through: with client certificates asked for, let only those in that an authority signed."""
        if self._client_verifier is None:
            return
        problem = _certificate_problem(self._client_verifier, endpoint.connection.peer_certificates)
        if problem:
            logger.warning("Refused a tunnel from %s: %s", _peer_name(endpoint), problem)
            endpoint.close(error_code=_ACCESS_DENIED, reason="client certificate not accepted")

    def _learn_ids(self, endpoint: Endpoint) -> None:
        for cid in endpoint.connection.connection_ids:
            self._endpoints[cid] = endpoint

    def _reset(self, data: bytes, address: Address, now: float) -> None:
        second, sent = self._reset_budget
        if now - second >= 1.0:
            second, sent = now, 0
        if len(data) >= SHORTEST_ANSWERED_BYTES and sent < _RESETS_A_SECOND:
            self._reset_budget = (second, sent + 1)
            cid = data[1 : 1 + CID_BYTES]
            self._port.send([(reset_datagram(self._reset_secret, cid, filler=os.urandom(FILLER_BYTES)), address)])

    def _ended(self, endpoint: Endpoint, reason: str) -> None:
        logger.info("Tunnel from %s ended: %s", _peer_name(endpoint), reason)
        self._peers.pop(endpoint, None)
        for cid in [cid for cid, other in self._endpoints.items() if other is endpoint]:
            del self._endpoints[cid]

    def _make_configuration(self) -> QuicConfiguration:
        settings = self._settings
        configuration = QuicConfiguration(
            is_client=False,
            alpn_protocols=[ALPN],
            connection_id_length=CID_BYTES,
            congestion_control_algorithm=settings.congestion_control,
            idle_timeout=settings.idle_timeout_s,
            max_data=settings.limits.connection_window_bytes,
            max_stream_data=settings.limits.stream_window_bytes,
        )
        if settings.max_datagram_bytes is not None:
            configuration.max_datagram_size = settings.max_datagram_bytes
        configuration.load_cert_chain(str(settings.cert), str(settings.key))
        return configuration

    # Calls

    def _accept(self, endpoint: Endpoint, stream_id: int) -> StreamUser:
        return StreamIncomingCall(
            endpoint, stream_id, max_message_bytes=self._settings.max_message_bytes, on_request=self._begin
        )

    def _begin(self, call: StreamIncomingCall, request: TunnelRequest) -> Callable[[], object]:
        """A request has arrived: start what serves it, and return how to cancel that."""
        now = self._clock.now()
        endpoint = call.endpoint
        peer = self._peers.get(endpoint) or PeerClock()
        is_control = request.path == CONTROL_PATH
        if self._draining and not is_control:
            # Past the GOAWAY, or on its way when it was sent: the proxy may try another daemon (RFC 9114 section 5.2).
            call.reject()
            return _nothing
        try:
            head = self._gate.head(request, clock=peer, peer=_peer_name(endpoint), now=now)
        except CallError as error:
            logger.warning("Refused a call from %s: %s", _peer_name(endpoint), error.message)
            call.refuse(CallStatus(error.code, error.message))
            return _nothing
        traffic_class = self._gate.traffic_class(head.traffic_class)
        is_ordered = min(head.deadline.target_at, traffic_class.token_deadline_s) < NO_DEADLINE
        has_messages = is_ordered and not (is_control or head.unary)
        if not is_control:
            head = head._replace(times=CallTimes(tells=bool(request.traffic_class)))
        if has_messages:
            call.begin(head, AnswerDeadlines(head.deadline, traffic_class), clock=peer)
        else:
            call.begin(head)
        if is_control:
            endpoint.connection.make_urgent(call.stream_id)
            handler: CallHandler = partial(serve_control, peer=peer, clock=self._clock, load=self._load)
        else:
            order = StreamOrder(
                stream_id=call.stream_id,
                arrived_at=head.accepted_at,
                deadline=head.deadline.target_at,
                priority=traffic_class.priority,
                level=traffic_class.level,
                weight=traffic_class.weight,
            )
            endpoint.connection.order_stream(order, now=now)
            handler = self._handler
        task = spawn(self._serve(call, handler), name=request.path)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task.cancel

    async def _serve(self, call: StreamIncomingCall, handler: CallHandler) -> None:
        try:
            await handler(call)
        except asyncio.CancelledError:
            # A caller that went away hears nothing of this; one that did not is still waiting when the daemon closes.
            await call.finish(CallStatus(Code.UNAVAILABLE, "the daemon stops"))
            raise
        except Exception:
            logger.exception("Call %s failed", call.head.path)
            await call.finish(CallStatus(Code.INTERNAL, "internal error in the daemon"))
        else:
            await call.finish(CallStatus(Code.INTERNAL, "the daemon ended the call without a status"))


def _verifier(authorities: Path) -> PolicyBuilder:
    return PolicyBuilder().store(Store(x509.load_pem_x509_certificates(authorities.read_bytes())))


def _certificate_problem(policy: PolicyBuilder, shown: list[x509.Certificate]) -> str:
    if not shown:
        return "it shows no certificate"
    try:
        policy.build_client_verifier().verify(shown[0], shown[1:])
    except VerificationError as error:
        return f"its certificate is not accepted: {error}"
    return ""


def _peer_name(endpoint: Endpoint) -> str:
    address = endpoint.connection.get_peer_address()
    return "unknown" if address is None else f"{address[0]}:{address[1]}"


def _nothing() -> None:
    """There is no handler to cancel."""
