"""A proxy out of its parts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from proxy.clock import Clock, MonotonicClock
from proxy.compose.control import control_of_proxy
from proxy.compose.listening import cannot_listen
from proxy.compose.metrics import metrics_of_proxy
from proxy.compose.token_file import TokenFile
from proxy.compose.traces import open_traces
from proxy.compose.tunnels import DaemonTunnels
from proxy.config import Address, Config
from proxy.discovery.resolver import Resolver, SystemResolver
from proxy.edge.classify import Classifier, ClassifySettings
from proxy.edge.forward import Forwarder
from proxy.edge.server import EdgeServer, EdgeSettings
from proxy.errors import HeadwayError
from proxy.http2.health import HealthServer
from proxy.telemetry import names
from proxy.telemetry.call_metrics import CallMetrics
from proxy.tunnel.tunnel import Tunnel


class Proxy:
    """A running proxy: `start`, then `drain` and `close`."""

    def __init__(self, config: Config, *, clock: Clock | None = None, resolver: Resolver | None = None) -> None:
        settings = config.require_proxy()
        self._config = config
        self._settings = settings
        clock = clock or MonotonicClock()
        tokens = TokenFile(settings.token_file, clock=clock)
        self._tracing = open_traces(names.PROXY_SERVICE, config, clock)
        self._daemons = DaemonTunnels(
            settings,
            token=tokens.first,
            clock=clock,
            scheduler=config.scheduler,
            classes=config.traffic.classes,
            resolver=resolver or SystemResolver(),
        )
        traffic = config.traffic
        calls = CallMetrics(traffic.classes, default_class=traffic.default_class)
        self.forwarder = Forwarder(
            classifier=Classifier(ClassifySettings(traffic.classes, traffic.default_class, traffic.unknown_class)),
            carrier=self._daemons.pool,
            tracing=self._tracing,
            clock=clock,
            address=str(settings.listen),
            metrics=calls,
        )
        self.server = EdgeServer(
            EdgeSettings(str(settings.listen), settings.max_message_bytes, settings.tls),
            handler=self.forwarder,
            clock=clock,
        )
        self.control = control_of_proxy(self, config, calls=calls, clock=clock)
        self.metrics = metrics_of_proxy(self, config, calls=calls, tracing=self._tracing)
        self.health = HealthServer(serving=lambda: self.serving)

    def __repr__(self) -> str:
        return f"<Proxy {self.server!r} {self._daemons!r}>"

    @property
    def address(self) -> str:
        """Where clients connect, `host:port`, once started."""
        return str(Address(self._settings.listen.host, self.server.port))

    @property
    def calls(self) -> int:
        """Calls of clients that are under way."""
        return self.server.calls

    @property
    def draining(self) -> bool:
        """Whether new calls are refused."""
        return self.forwarder.draining

    @property
    def scheduler(self) -> str:
        """The discipline by which requests are sent, over QUIC."""
        return self._daemons.scheduler

    @property
    def tunnels(self) -> Sequence[Tunnel]:
        """One for each daemon that is known now, those that take no new calls last."""
        return self._daemons.all

    @property
    def retired(self) -> Sequence[Tunnel]:
        """Those of the tunnels that take no new calls, because their daemon's address has gone from DNS."""
        return self._daemons.pool.retired

    @property
    def unresolved(self) -> Mapping[str, str]:
        """The DNS names that have brought no tunnel, and why."""
        return self._daemons.unresolved

    @property
    def serving(self) -> bool:
        """Whether calls are taken and have a daemon to go to whose backends answer."""
        return not self.draining and self._daemons.pool.serving

    def use_scheduler(self, name: str) -> None:
        """Order requests by another discipline on every tunnel. Raises ValueError that lists the known ones."""
        self._daemons.use_scheduler(name)

    async def start(self) -> None:
        """Listen for clients. Tunnels come up by themselves. Raises `ConfigError` if the port is taken."""
        try:
            await self.server.start()
        except HeadwayError as error:
            raise cannot_listen(self._config, "proxy.listen", self._settings.listen, "TCP", error) from None
        if self._settings.health is not None:
            try:
                await self.health.start(str(self._settings.health))
            except HeadwayError as error:
                raise cannot_listen(self._config, "proxy.health", self._settings.health, "TCP", error) from None
        await self.metrics.start()
        await self.control.start()

    def begin_drain(self) -> None:
        """Refuse new calls from now on; those in progress go on."""
        self.forwarder.drain()

    async def drain(self) -> bool:
        """Refuse new calls and let those in progress finish; False if the configured time was not enough."""
        self.begin_drain()
        return await self.server.drain(timeout_s=self._settings.drain_s)

    async def close(self) -> None:
        """Stop at once."""
        await self.control.stop()
        await self.metrics.stop()
        await self.server.stop()
        await self.health.stop()
        await self._daemons.close()
        await asyncio.to_thread(self._tracing.close)
