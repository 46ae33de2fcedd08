"""A daemon out of its parts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import grpc.aio

from policies.profile import Profile
from policies.profile_file import read_profile
from policies.simulation.keys import WorkloadError
from proxy.clock import Clock, MonotonicClock
from proxy.compose.control import control_of_daemon
from proxy.compose.daemon_metrics import metrics_of_daemon
from proxy.compose.listening import cannot_listen
from proxy.compose.token_file import TokenFile
from proxy.compose.traces import open_traces
from proxy.config import Address, Config, DaemonSettings
from proxy.config import CandidateSettings as ConfiguredCandidate
from proxy.daemon.dispatch import Dispatcher
from proxy.daemon.routes import BackendSettings, CandidateSettings, DispatchSettings, RouteSettings
from proxy.daemon.way_back import TunnelPath
from proxy.errors import ConfigError, HeadwayError
from proxy.http2.health import HealthServer
from proxy.http2.outgoing import GrpcCarrier, channel_options
from proxy.quic.limits import FlowLimits, ServedTunnel
from proxy.quic.server import QuicServer, QuicServerSettings
from proxy.quic.statistics import ConnectionStatistics
from proxy.tasks import spawn
from proxy.tcp.server import TcpServer, TcpServerSettings
from proxy.telemetry import names
from proxy.telemetry.route_metrics import RouteMetrics
from proxy.tunnel.gate import Gate, TokenCheck
from proxy.tunnel.tunnel import DaemonLoad


class Daemon:
    """A running daemon: `start`, then `drain` and `close`."""

    def __init__(self, config: Config, *, clock: Clock | None = None) -> None:
        settings = config.require_daemon()
        self._config = config
        self._settings = settings
        self._clock = clock or MonotonicClock()
        tokens = TokenFile(settings.token_file, clock=self._clock)
        self._tracing = open_traces(names.DAEMON_SERVICE, config, self._clock)
        options = channel_options(settings.max_message_bytes)
        self._channels = {
            name: grpc.aio.insecure_channel(str(triton.url), options=options)
            for name, triton in settings.tritons.items()
        }
        carriers = {
            name: GrpcCarrier(channel, name=f"triton {name!r} at {settings.tritons[name].url}", clock=self._clock)
            for name, channel in self._channels.items()
        }
        requests = RouteMetrics(config.traffic.classes)
        self.dispatcher = Dispatcher(
            _dispatch_settings(config, settings),
            carriers,
            clock=self._clock,
            tracing=self._tracing,
            paths=self.paths,
            requests=requests,
        )
        self._gate = Gate(
            tokens=TokenCheck(tokens.all), classes=config.traffic.classes, default_class=config.traffic.default_class
        )
        self._quic: QuicServer | None = None
        self._tcp: TcpServer | None = None
        self._background: list[asyncio.Task[None]] = []
        self._scheduler = config.scheduler
        self.control = control_of_daemon(self, config, requests=requests, clock=self._clock)
        self.metrics = metrics_of_daemon(self, config, requests=requests, tracing=self._tracing)
        self.health = HealthServer(serving=lambda: self.serving)

    def __repr__(self) -> str:
        return f"<Daemon {self.dispatcher!r} {self._quic!r} {self._tcp!r}>"

    @property
    def address(self) -> str:
        """Where proxies connect, `host:port`, once started."""
        port = self._tcp.port if self._tcp is not None else self._settings.listen.port
        return str(Address(self._settings.listen.host, port))

    @property
    def calls(self) -> int:
        """Calls accepted and not finished."""
        return self.dispatcher.report().calls

    @property
    def draining(self) -> bool:
        """Whether new calls are refused."""
        return self.dispatcher.report().draining

    @property
    def serving(self) -> bool:
        """Whether calls are taken and a backend answers."""
        report = self.dispatcher.report()
        return bool(report.serving) and not report.draining

    @property
    def sending(self) -> Sequence[ConnectionStatistics]:
        """What waits to be sent on each tunnel over QUIC."""
        return self._quic.statistics() if self._quic is not None else ()

    @property
    def tunnels(self) -> Sequence[ServedTunnel]:
        """The proxies that are connected over QUIC."""
        return self._quic.tunnels() if self._quic is not None else ()

    @property
    def scheduler(self) -> str:
        """The discipline by which answers are sent, over QUIC."""
        return self._scheduler

    def use_scheduler(self, name: str) -> None:
        """Order answers by another discipline on every tunnel. Raises ValueError that lists the known ones."""
        if self._quic is None:
            raise HeadwayError("the daemon has not been started")
        self._quic.use_scheduler(name)
        self._scheduler = name

    def policies(self) -> dict[str, str]:
        """The policy of each route."""
        return self.dispatcher.policies()

    def use_policy(self, route: str, policy: str) -> None:
        """Have another policy decide from now on. Raises ValueError naming what is unknown, and what is known."""
        self.dispatcher.use_policy(route, policy)

    def paths(self) -> Mapping[str, TunnelPath]:
        """What each tunnel has measured of its path, by the proxy's address; over TCP not the rate."""
        over_tcp = {} if self._tcp is None else self._tcp.round_trips()
        paths = {peer: TunnelPath(way.smoothed_s, rtt_deviation_s=way.deviation_s) for peer, way in over_tcp.items()}
        for tunnel in self.tunnels:
            path = tunnel.path
            paths[tunnel.peer] = TunnelPath(
                path.rtt_s, path.delivery_rate_bytes_s, rtt_deviation_s=path.rtt_deviation_s
            )
        return paths

    async def start(self) -> None:
        """Listen for proxies, on UDP and TCP at the same port. Raises `ConfigError` if the port is taken."""
        settings = self._settings
        self._tcp = TcpServer(
            TcpServerSettings(
                str(settings.listen), settings.cert, settings.key, settings.client_ca, settings.max_message_bytes
            ),
            handler=self.dispatcher,
            gate=self._gate,
            clock=self._clock,
            load=self._load,
        )
        try:
            await self._tcp.start()
        except (OSError, HeadwayError) as error:
            raise cannot_listen(self._config, "daemon.listen", settings.listen, "TCP", error) from None
        listen = Address(settings.listen.host, self._tcp.port)
        try:
            self._quic = QuicServer(
                QuicServerSettings(
                    host=listen.host,
                    port=listen.port,
                    cert=settings.cert,
                    key=settings.key,
                    client_ca=settings.client_ca,
                    scheduler=self._config.scheduler,
                    congestion_control=settings.congestion_control,
                    max_datagram_bytes=settings.max_datagram_bytes,
                    max_message_bytes=settings.max_message_bytes,
                    limits=FlowLimits(stream_window_bytes=settings.stream_window_bytes),
                    idle_timeout_s=settings.idle_timeout_s,
                ),
                handler=self.dispatcher,
                gate=self._gate,
                clock=self._clock,
                load=self._load,
            )
        except OSError as error:
            raise cannot_listen(self._config, "daemon.listen", listen, "UDP", error) from None
        self._background = [
            spawn(self.dispatcher.probe.run(), name="probe of the backends"),
            spawn(self.dispatcher.metrics.run(), name="metrics of the backends"),
        ]
        if settings.health is not None:
            try:
                await self.health.start(str(settings.health))
            except HeadwayError as error:
                raise cannot_listen(self._config, "daemon.health", settings.health, "TCP", error) from None
        await self.metrics.start()
        await self.control.start()

    def begin_drain(self) -> None:
        """Refuse new calls from now on; those in progress go on.

        Once: a later GOAWAY must not name a later stream than the first one (RFC 9114 section 5.2).
        """
        if self.draining:
            return
        if self._quic is not None and self._tcp is not None:
            self._quic.drain()
            self._tcp.drain()
        self.dispatcher.drain()

    async def drain(self) -> bool:
        """Refuse new calls and let those in progress finish; False if the configured time was not enough."""
        self.begin_drain()
        give_up_at = self._clock.now() + self._settings.drain_s
        if not await self.dispatcher.wait_idle(self._settings.drain_s):
            return False
        try:
            async with asyncio.timeout(max(give_up_at - self._clock.now(), 0.0)):
                if self._quic is not None and self._tcp is not None:
                    await asyncio.gather(self._quic.wait_delivered(), self._tcp.wait_told())
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Stop at once."""
        await self.control.stop()
        await self.metrics.stop()
        await self.health.stop()
        for task in self._background:
            task.cancel()
        if self._quic is not None:
            await self._quic.close()
        if self._tcp is not None:
            await self._tcp.close()
        await asyncio.gather(*(channel.close(grace=None) for channel in self._channels.values()))
        await asyncio.to_thread(self._tracing.close)

    def _load(self) -> DaemonLoad:
        report = self.dispatcher.report()
        return DaemonLoad(report.calls, draining=report.draining, serving=bool(report.serving))


def _dispatch_settings(config: Config, settings: DaemonSettings) -> DispatchSettings:
    backends = tuple(
        BackendSettings(triton.name, str(triton.url), triton.metrics) for triton in settings.tritons.values()
    )
    routes = (
        RouteSettings(
            route.name,
            route.policy,
            tuple(
                CandidateSettings(c.triton, c.model, c.quality, _profile(config, route.name, index, c))
                for index, c in enumerate(route.candidates)
            ),
            waiting_bytes=route.max_waiting_bytes,
        )
        for route in settings.routes.values()
    )
    return DispatchSettings(
        backends=backends,
        default=settings.default or backends[0].name,
        routes=tuple(routes),
        classes=config.traffic.classes,
        listen=str(settings.listen),
    )


def _profile(config: Config, route: str, index: int, candidate: ConfiguredCandidate) -> Profile | None:
    if candidate.profile is None:
        return None
    try:
        return read_profile(candidate.profile, candidate.model)
    except WorkloadError as error:
        key = f"daemon.routes.{route}.candidates[{index}].profile"
        raise ConfigError([config.problem(key, str(error))]) from error
