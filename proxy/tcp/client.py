"""The proxy's end of a TLS/TCP tunnel: a gRPC channel to one daemon."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio

from proxy.clock import Clock
from proxy.control_call import CONTROL_PATH, ControlCall
from proxy.http2.outgoing import GrpcCarrier, channel_options
from proxy.tasks import spawn
from proxy.tcp.fields import write_fields
from proxy.tunnel.exchange import CallHead, CallStatus, CallTimes, InitialMetadata, MetadataValue, OutgoingCall
from proxy.tunnel.far_times import STAGES_KEY, decode_times
from proxy.tunnel.tunnel import UNBEGUN, DaemonLoad, TunnelState

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TcpClientSettings:
    """What one tunnel needs to know."""

    address: str
    """`host:port` of the daemon."""
    ca: Path | None = None
    """Authorities that may have signed the daemon's certificate; None: the system's."""
    client_cert: Path | None = None
    client_key: Path | None = None
    server_name: str = ""
    """Name expected in the daemon's certificate; empty: the host of `address`."""
    token: Callable[[], bytes] = bytes
    """Gives the token to show."""
    max_message_bytes: int = 256 * 1024 * 1024


_WHY_TIMEOUT_S = 0.5
"""How long grpc may take to say why it has no connection. It takes longer only when it has one after all."""
_LAST_ERROR = re.compile(r"(?:last error: (?:UNKNOWN: )?(?:ipv[46]:\S+: )?|(?=errors resolving))(.*)", re.DOTALL)
"""In what grpc says of a failed connection, the part that says what the user can mend."""


class TcpTunnel:
    """A `proxy.tunnel.tunnel.Tunnel` over gRPC's own HTTP/2. The order of streams is HTTP/2's."""

    def __init__(self, settings: TcpClientSettings, *, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._state = TunnelState.CONNECTING
        self._reason = "not connected yet"
        self._settled = asyncio.Event()
        self._load = DaemonLoad()
        self._calls = 0
        self._connects = 0
        options: list[tuple[str, int | str]] = [*channel_options(settings.max_message_bytes)]
        if settings.server_name:
            options.append(("grpc.ssl_target_name_override", settings.server_name))
        self._channel = grpc.aio.secure_channel(settings.address, _credentials(settings), options=options)
        self._carrier = GrpcCarrier(
            self._channel,
            name=f"daemon {settings.address}",
            clock=clock,
            extra_metadata=lambda head: write_fields(head, token=settings.token()),
            on_trailers=self._read_trailers,
        )
        self._control: ControlCall | None = None
        self._task = spawn(self._watch(), name=f"tunnel to {settings.address}")

    def __repr__(self) -> str:
        return f"<TcpTunnel {self._settings.address} {self._state.name} calls={self._calls}>"

    @property
    def name(self) -> str:
        """See the protocol."""
        return self._settings.address

    @property
    def state(self) -> TunnelState:
        """See the protocol."""
        return self._state

    @property
    def reason(self) -> str:
        """See the protocol."""
        return f"daemon {self.name} is unreachable: {self._reason}"

    @property
    def load(self) -> DaemonLoad:
        """See the protocol."""
        return self._load

    @property
    def calls(self) -> int:
        """See the protocol."""
        return self._calls

    @property
    def silent(self) -> bool:
        """Never: grpc does not tell before its keepalive has failed."""
        return False

    @property
    def connects(self) -> int:
        """Connections made since the start."""
        return self._connects

    async def wait_settled(self) -> None:
        """See the protocol."""
        await self._settled.wait()

    def open(self, head: CallHead) -> OutgoingCall:
        """See the protocol."""
        if head.times is not None:
            head.times.restart()
        return _CountedCall(self._carrier.open(head), self._count, peer=self.name, times=head.times, clock=self._clock)

    def use_scheduler(self, name: str) -> None:
        """HTTP/2's order is grpc's; there is nothing to switch."""

    async def close(self) -> None:
        """See the protocol."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._channel.close(grace=None)

    def _count(self, change: int) -> None:
        self._calls += change

    async def _watch(self) -> None:
        """Follow the channel's state, and keep the control call while it is connected."""
        control: asyncio.Task[None] | None = None
        state = self._channel.get_state(try_to_connect=True)
        try:
            while state is not grpc.ChannelConnectivity.SHUTDOWN:
                if state is grpc.ChannelConnectivity.READY:
                    logger.info("Tunnel to %s is up", self.name)
                    self._state = TunnelState.READY
                    self._connects += 1
                    control = spawn(self._exchange_reports(), name=f"reports to {self.name}")
                elif self._state is TunnelState.READY:
                    self._state, self._reason = TunnelState.LOST, "the connection broke"
                    logger.warning("Tunnel to %s is down", self.name)
                    if control is not None:
                        control.cancel()
                if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                    await self._go_lost()
                if self._state is not TunnelState.CONNECTING:
                    self._settled.set()
                await self._channel.wait_for_state_change(state)
                state = self._channel.get_state(try_to_connect=True)
        finally:
            if control is not None:
                control.cancel()

    async def _go_lost(self) -> None:
        reason = await self._why()
        if reason and reason != self._reason:
            logger.warning("Daemon %s can't be reached: %s", self.name, reason)
            self._reason = reason
        self._state = TunnelState.LOST

    async def _why(self) -> str:
        """Why the last attempt failed; empty if it can't be had. grpc tells that only to a call that fails for it."""
        call = self._carrier.open(CallHead(path=CONTROL_PATH))
        try:
            async with asyncio.timeout(_WHY_TIMEOUT_S):
                event = await call.receive()
        except TimeoutError:
            return ""
        finally:
            call.cancel()
        found = _LAST_ERROR.search(event.message) if isinstance(event, CallStatus) else None
        return found[1] if found is not None else ""

    async def _exchange_reports(self) -> None:
        call = self._carrier.open(CallHead(path=CONTROL_PATH))
        control = self._control = ControlCall(call, daemon=self.name, clock=self._clock, on_load=self._set_load)
        await control.run()

    def _read_trailers(self, head: CallHead, trailing: Iterable[tuple[str, MetadataValue]]) -> None:
        """Note what the daemon says of when the call passed it."""
        if (times := head.times) is None:
            return
        for key, value in trailing:
            if key == STAGES_KEY and isinstance(value, str):
                times.far = decode_times(value.encode("latin-1"))
                offset = None if self._control is None else self._control.clocks.best
                times.far_ahead_s = None if offset is None else offset.offset_s

    def _set_load(self, load: DaemonLoad) -> None:
        self._load = load


class _CountedCall:
    """Tells the tunnel when its call is over, and notes when messages pass."""

    def __init__(
        self,
        call: OutgoingCall,
        count: Callable[[int], None],
        *,
        peer: str,
        times: CallTimes | None,
        clock: Clock,
    ) -> None:
        self._call = call
        self._peer = peer
        self._times = times
        self._clock = clock
        self._count: Callable[[int], None] | None = count
        count(1)
        self.close_sending = call.close_sending

    def __repr__(self) -> str:
        return f"<CountedCall {self._call!r}>"

    @property
    def peer(self) -> str:
        """See the port."""
        return self._peer

    async def send(self, message: bytes, *, last: bool = False) -> None:
        """See the port. What waits in grpc and in the kernel counts as on its way."""
        if self._times is not None and not self._times.sent_at:
            self._times.sent_at = self._clock.now()
        await self._call.send(message, last=last)

    async def receive(self) -> InitialMetadata | bytes | CallStatus:
        """See the port. When an answer begins to arrive grpc does not tell."""
        event = await self._call.receive()
        if self._times is not None and not isinstance(event, InitialMetadata):
            self._times.answered_at = self._times.answered_at or self._clock.now()
        if not isinstance(event, CallStatus):
            return event
        if self._times is not None:
            self._times.ended_at = self._clock.now()
        self._over()
        # Over QUIC a draining daemon rejects the stream untouched; here it can only say so.
        return event._replace(retryable=event.retryable or UNBEGUN in event.metadata)

    def cancel(self) -> None:
        """See the port."""
        self._over()
        self._call.cancel()

    def _over(self) -> None:
        count, self._count = self._count, None
        if count is not None:
            count(-1)


def _credentials(settings: TcpClientSettings) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        root_certificates=settings.ca.read_bytes() if settings.ca is not None else None,
        private_key=settings.client_key.read_bytes() if settings.client_key is not None else None,
        certificate_chain=settings.client_cert.read_bytes() if settings.client_cert is not None else None,
    )
