"""The proxy's end of a QUIC tunnel: one connection to one daemon, kept up.

States: CONNECTING until the handshake is through, READY while calls can be made, LOST between attempts. A lost
connection is tried again at once, then with exponential backoff and full jitter (the scheme of gRPC's
connection-backoff.md, with a lower ceiling, because calls fail meanwhile).
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aioquic.quic.configuration import QuicConfiguration

from policies.scheduling.base import StreamOrder
from policies.scheduling.registry import make_scheduler
from policies.traffic import NO_DEADLINE, TrafficClass
from proxy.clock import Clock
from proxy.control_call import CONTROL_PATH, ControlCall
from proxy.errors import Code, HeadwayError
from proxy.quic.call_notes import OutgoingNotes
from proxy.quic.calls import StreamOutgoingCall
from proxy.quic.connection import ScheduledConnection
from proxy.quic.driver import Datagram
from proxy.quic.endpoint import Endpoint
from proxy.quic.limits import FlowLimits, PathStatistics
from proxy.quic.port import ClientPorts, OpenClientPort, Port
from proxy.quic.statistics import ConnectionStatistics
from proxy.tasks import spawn
from proxy.tunnel.answer_times import AnswerTimes
from proxy.tunnel.clock_sync import ClockOffset
from proxy.tunnel.exchange import CallHead, CallStatus, OutgoingCall
from proxy.tunnel.headers import encode_request
from proxy.tunnel.tunnel import DaemonLoad, FailedCall, TunnelState

logger = logging.getLogger(__name__)

ALPN = "h3"
_MAX_DOUBLINGS = 30
"""Past it the ceiling is reached whatever the settings, and a power of two of any size no longer fits a float."""
SILENCE_S = 5.0
"""How long a daemon may leave us unanswered: five reports of the control call and all their retransmissions. A link
that comes back sooner costs its calls nothing but the time."""
SILENCE_CHECK_S = 1.0
SILENT_TIMEOUTS = 2
"""Probe timeouts in a row, the second twice as long as the first: one alone may be a packet that the path has lost."""
LEAST_URGENT = 7
"""RFC 9218 section 4.1."""


@dataclass(frozen=True, slots=True)
class QuicClientSettings:
    """What one tunnel needs to know. Paths are read at each connection, so that rotated files are taken up."""

    address: str
    """`host:port` of the daemon."""
    ca: Path | None = None
    """Authorities that may have signed the daemon's certificate; None: the system's."""
    client_cert: Path | None = None
    """Certificate chain to show to a daemon that asks for one."""
    client_key: Path | None = None
    server_name: str = ""
    """Name expected in the daemon's certificate; empty: the host of `address`."""
    token: Callable[[], bytes] = bytes
    """Gives the token to show."""
    scheduler: str = "edf"
    congestion_control: str = "bbr"
    max_datagram_bytes: int | None = None
    """UDP payload to use; None: found out."""
    batch_window_s: float = 0.0
    max_message_bytes: int = 256 * 1024 * 1024
    limits: FlowLimits = field(default_factory=FlowLimits)
    idle_timeout_s: float = 60.0
    handshake_timeout_s: float = 5.0
    """How long one attempt to connect may take."""
    backoff_base_s: float = 0.1
    backoff_max_s: float = 1.0
    """A daemon that comes back is found within this time."""


class QuicTunnel:
    """A `proxy.tunnel.tunnel.Tunnel` over QUIC."""

    def __init__(
        self,
        settings: QuicClientSettings,
        *,
        classes: Mapping[str, TrafficClass],
        clock: Clock,
        rng: random.Random,
        open_port: OpenClientPort | None = None,
    ) -> None:
        self._settings = settings
        self._open_port = open_port or ClientPorts()
        self._classes = classes
        self._clock = clock
        self._rng = rng
        self._endpoint: Endpoint | None = None
        self._port: Port | None = None
        self._state = TunnelState.CONNECTING
        self._reason = "not connected yet"
        self._settled = asyncio.Event()
        self._load = DaemonLoad()
        self._control: ControlCall | None = None
        self._scheduler = settings.scheduler
        self._answer_times = AnswerTimes()
        self._connects = 0
        self._task = spawn(self._keep_connected(), name=f"tunnel to {settings.address}")

    def __repr__(self) -> str:
        return f"<QuicTunnel {self._settings.address} {self._state.name} {self._endpoint!r}>"

    @property
    def name(self) -> str:
        """The daemon's address."""
        return self._settings.address

    @property
    def state(self) -> TunnelState:
        """Whether calls can be made."""
        return self._state

    @property
    def reason(self) -> str:
        """Why no call can be made."""
        return f"daemon {self.name} is unreachable: {self._reason}"

    @property
    def load(self) -> DaemonLoad:
        """What the daemon said last."""
        return self._load

    @property
    def calls(self) -> int:
        """Calls under way on this tunnel, the control call not counted."""
        return max(self._endpoint.users - 1, 0) if self._endpoint is not None else 0

    @property
    def silent(self) -> bool:
        """Whether `SILENT_TIMEOUTS` probe timeouts in a row brought no answer."""
        return self._endpoint is not None and self._endpoint.connection.unanswered_timeouts >= SILENT_TIMEOUTS

    @property
    def connects(self) -> int:
        """Connections made since the start."""
        return self._connects

    def path_statistics(self) -> PathStatistics | None:
        """The path as seen now; None without a connection."""
        return self._endpoint.connection.path_statistics() if self._endpoint is not None else None

    @property
    def answer_times(self) -> AnswerTimes:
        """What has been learned of how long the daemon's answers take."""
        return self._answer_times

    def statistics(self) -> ConnectionStatistics | None:
        """What waits to go up; None without a connection."""
        endpoint = self._endpoint
        return None if endpoint is None else endpoint.connection.statistics(now=self._clock.now())

    def use_scheduler(self, name: str) -> None:
        """Order requests by another discipline, now and after reconnecting. Raises ValueError for an unknown one."""
        scheduler = make_scheduler(name)
        self._scheduler = name
        if self._endpoint is not None:
            self._endpoint.connection.use_scheduler(scheduler, now=self._clock.now())

    async def wait_settled(self) -> None:
        """Return once the tunnel is READY or an attempt to connect has failed."""
        await self._settled.wait()

    def open(self, head: CallHead) -> OutgoingCall:
        """See `proxy.tunnel.exchange.Carrier`."""
        endpoint = self._endpoint
        if endpoint is None or self._state is not TunnelState.READY:
            return FailedCall(CallStatus(Code.UNAVAILABLE, self.reason, retryable=True))
        if endpoint.http is not None and endpoint.http.goaway_id is not None:
            return FailedCall(CallStatus(Code.UNAVAILABLE, f"daemon {self.name} is draining", retryable=True))
        traffic_class = self._classes.get(head.traffic_class)
        priority = traffic_class.priority if traffic_class is not None else LEAST_URGENT
        return self._start(endpoint, head, priority=priority, traffic_class=traffic_class)

    async def close(self) -> None:
        """Close the connection, telling the daemon, and stop connecting."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self._endpoint is not None:
            self._endpoint.close(reason="proxy closes")
        if self._port is not None:
            self._port.close()

    def _start(
        self, endpoint: Endpoint, head: CallHead, *, priority: int, traffic_class: TrafficClass | None
    ) -> StreamOutgoingCall:
        now = self._clock.now()
        connection = endpoint.connection
        stream_id = connection.open_stream()
        times = head.times
        arrived_at = head.accepted_at or now
        has_messages = traffic_class is not None and not head.unary
        call = StreamOutgoingCall(
            endpoint,
            stream_id,
            address=self.name,
            max_message_bytes=self._settings.max_message_bytes,
            on_answer=None if traffic_class is None else self._learn_of(traffic_class, connection),
            notes=None if times is None else OutgoingNotes(times, connection, stream_id, offset=self._offset),
            message_budget_s=head.deadline.target_at - arrived_at if has_messages else NO_DEADLINE,
        )
        if traffic_class is not None:
            connection.order_stream(
                StreamOrder(
                    stream_id=stream_id,
                    arrived_at=arrived_at,
                    deadline=head.deadline.target_at,
                    priority=traffic_class.priority,
                    level=traffic_class.level,
                    weight=traffic_class.weight,
                    answer_s=self._answer_times.estimate_s(traffic_class.name),
                ),
                now=now,
            )
        headers = encode_request(
            head, authority=self._settings.address, token=self._settings.token(), priority=priority, now=now
        )
        call.start(headers, hold=head.unary)
        return call

    def _learn_of(self, traffic_class: TrafficClass, connection: ScheduledConnection) -> Callable[[float], None]:
        return lambda took_s: self._answer_times.answered(traffic_class.name, took_s=took_s, rtt_s=connection.rtt_s)

    # Connecting

    async def _keep_connected(self) -> None:
        failures = 0
        while True:
            try:
                await self._connect()
            except (OSError, HeadwayError, ssl.SSLError, ValueError) as error:
                self._go_lost(str(error) or type(error).__name__)
            else:
                failures = 0
                await self._exchange_reports()
            ceiling_s = min(
                self._settings.backoff_base_s * 2 ** min(failures, _MAX_DOUBLINGS), self._settings.backoff_max_s
            )
            failures += 1
            await asyncio.sleep(self._rng.uniform(0, ceiling_s))

    async def _connect(self) -> None:
        settings = self._settings
        host = settings.address.rpartition(":")[0].strip("[]")
        port, address = await self._open_port(
            settings.address, on_datagrams=self._received, on_unreachable=self._refused
        )
        self._close_connection()
        self._port = port
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def make_connection(on_room: Callable[[int], None]) -> ScheduledConnection:
            return ScheduledConnection(
                scheduler=make_scheduler(self._scheduler),
                limits=settings.limits,
                on_room=on_room,
                discover_path_mtu=settings.max_datagram_bytes is None,
                configuration=self._configuration(host),
            )

        endpoint = self._endpoint = Endpoint(
            port=port,
            make_connection=make_connection,
            accept=None,
            on_ready=lambda _: _settle(ready),
            on_end=lambda _, reason: self._ended(ready, reason),
            batch_window_s=settings.batch_window_s,
        )
        endpoint.connection.connect(address, now=port.now())
        endpoint.flush_soon()
        try:
            async with asyncio.timeout(settings.handshake_timeout_s):
                await ready
        except TimeoutError:
            reason = f"no answer within {settings.handshake_timeout_s:g} s"
            endpoint.lose(reason)
            raise HeadwayError(reason) from None
        port.call_soon(lambda: self._check_heard(endpoint, port), delay_s=SILENCE_CHECK_S)
        self._state = TunnelState.READY
        self._connects += 1
        self._load = DaemonLoad()
        self._settled.set()
        logger.info("Tunnel to %s is up", self.name)

    def _configuration(self, host: str) -> QuicConfiguration:
        settings = self._settings
        configuration = QuicConfiguration(
            is_client=True,
            alpn_protocols=[ALPN],
            server_name=settings.server_name or host,
            congestion_control_algorithm=settings.congestion_control,
            idle_timeout=settings.idle_timeout_s,
            max_data=settings.limits.connection_window_bytes,
            max_stream_data=settings.limits.stream_window_bytes,
            verify_mode=ssl.CERT_REQUIRED,
        )
        if settings.max_datagram_bytes is not None:
            configuration.max_datagram_size = settings.max_datagram_bytes
        if settings.client_cert is not None and settings.client_key is not None:
            configuration.load_cert_chain(str(settings.client_cert), str(settings.client_key))
        if settings.ca is not None:
            # Read here: a file that is missing must fail the attempt, not the packet that needs it.
            configuration.load_verify_locations(cadata=settings.ca.read_bytes())
        return configuration

    def _received(self, datagrams: list[Datagram], now: float) -> None:
        endpoint = self._endpoint
        if endpoint is None:
            return
        if any(endpoint.connection.is_reset_by(data) for data, _ in datagrams):
            endpoint.lose("the daemon was restarted")
            return
        endpoint.receive(datagrams, now)

    def _refused(self, error: OSError) -> None:
        """The kernel says that nobody listens there. Believed only if we wait for an answer, as ICMP can be forged."""
        endpoint = self._endpoint
        if endpoint is not None and (not endpoint.connection.is_ready or endpoint.connection.awaits_acknowledgement):
            endpoint.lose(error.strerror or str(error))

    def _check_heard(self, endpoint: Endpoint, port: Port, silent_s: float = 0.0) -> None:
        """Give up a connection on which nothing comes back, long before its idle timeout would.

        Only time in which an acknowledgement is due counts: a peer that was sent nothing has nothing to say.
        """
        if endpoint is not self._endpoint or self._state is not TunnelState.READY:
            return
        unheard = endpoint.connection.awaits_acknowledgement and port.now() - endpoint.heard_at >= SILENCE_CHECK_S
        silent_s = silent_s + SILENCE_CHECK_S if unheard else 0.0
        if silent_s >= SILENCE_S:
            endpoint.lose(f"no answer for {SILENCE_S:g} s")
        else:
            port.call_soon(lambda: self._check_heard(endpoint, port, silent_s), delay_s=SILENCE_CHECK_S)

    def _ended(self, ready: asyncio.Future[None], reason: str) -> None:
        if not ready.done():
            ready.set_exception(HeadwayError(reason))
        self._go_lost(reason)

    def _go_lost(self, reason: str) -> None:
        if self._state is TunnelState.READY:
            logger.warning("Tunnel to %s is down: %s", self.name, reason)
        elif self._reason != reason:
            logger.warning("Daemon %s can't be reached: %s", self.name, reason)
        self._state = TunnelState.LOST
        self._reason = reason
        self._settled.set()
        if self._control is not None:
            self._control.stop()

    def _close_connection(self) -> None:
        if self._port is not None:
            self._port.close()
        self._port = None
        self._endpoint = None

    async def _exchange_reports(self) -> None:
        """Keep the control call going until the connection is lost."""
        endpoint = self._endpoint
        if endpoint is None:
            return
        call = self._start(endpoint, CallHead(path=CONTROL_PATH), priority=0, traffic_class=None)
        endpoint.connection.make_urgent(call.stream_id)
        self._control = ControlCall(call, daemon=self.name, clock=self._clock, on_load=self._set_load)
        if self._state is TunnelState.LOST:
            self._control.stop()
        await self._control.run()

    def _set_load(self, load: DaemonLoad) -> None:
        self._load = load

    def _offset(self) -> ClockOffset | None:
        return None if self._control is None else self._control.clocks.best


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
