"""A proxy out of its parts."""

from __future__ import annotations

import asyncio

from proxy.clock import Clock, MonotonicClock
from proxy.compose.control import control_of_proxy
from proxy.compose.listening import cannot_listen
from proxy.compose.token_file import TokenFile
from proxy.compose.traces import open_traces
from proxy.compose.tunnels import open_tunnel
from proxy.config import Address, Config
from proxy.edge.classify import Classifier, ClassifySettings
from proxy.edge.forward import Forwarder
from proxy.edge.server import EdgeServer, EdgeSettings
from proxy.errors import HeadwayError
from proxy.pool import DaemonPool
from proxy.telemetry import names


class Proxy:
    """A running proxy: `start`, then `drain` and `close`."""

    def __init__(self, config: Config, *, clock: Clock | None = None) -> None:
        settings = config.require_proxy()
        self._config = config
        self._settings = settings
        clock = clock or MonotonicClock()
        tokens = TokenFile(settings.token_file, clock=clock)
        self._tracing = open_traces(names.PROXY_SERVICE, config, clock)
        self.tunnels = [
            open_tunnel(
                address,
                settings,
                token=tokens.first,
                clock=clock,
                scheduler=config.scheduler,
                classes=config.traffic.classes,
            )
            for address in settings.daemons
        ]
        self._scheduler = config.scheduler
        traffic = config.traffic
        self.forwarder = Forwarder(
            classifier=Classifier(ClassifySettings(traffic.classes, traffic.default_class, traffic.unknown_class)),
            carrier=DaemonPool(self.tunnels),
            tracing=self._tracing,
            clock=clock,
            address=str(settings.listen),
        )
        self.server = EdgeServer(
            EdgeSettings(str(settings.listen), settings.max_message_bytes, settings.tls),
            handler=self.forwarder,
            clock=clock,
        )
        self.control = control_of_proxy(self, config)

    def __repr__(self) -> str:
        return f"<Proxy {self.server!r} {self.tunnels!r}>"

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
        return self._scheduler

    def use_scheduler(self, name: str) -> None:
        """Order requests by another discipline on every tunnel. Raises ValueError that lists the known ones."""
        for tunnel in self.tunnels:
            tunnel.use_scheduler(name)
        self._scheduler = name

    async def start(self) -> None:
        """Listen for clients. Tunnels come up by themselves. Raises `ConfigError` if the port is taken."""
        try:
            await self.server.start()
        except HeadwayError as error:
            raise cannot_listen(self._config, "proxy.listen", self._settings.listen, "TCP", error) from None
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
        await self.server.stop()
        await asyncio.gather(*(tunnel.close() for tunnel in self.tunnels))
        await asyncio.to_thread(self._tracing.close)
