"""The tunnels to the daemons that the configuration names, over the transport that it names."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping

from policies.traffic import TrafficClass
from proxy.clock import Clock
from proxy.config import Address, DnsName, ProxySettings
from proxy.discovery.discovery import Discovery
from proxy.discovery.resolver import Resolver
from proxy.pool import DaemonPool
from proxy.quic.client import QuicClientSettings, QuicTunnel
from proxy.quic.limits import FlowLimits
from proxy.tcp.client import TcpClientSettings, TcpTunnel
from proxy.tunnel.tunnel import Tunnel

HANDSHAKE_TIMEOUT_S = 5.0
"""How long one attempt to connect may take, over QUIC."""


def open_tunnel(
    address: Address,
    settings: ProxySettings,
    *,
    token: Callable[[], bytes],
    clock: Clock,
    scheduler: str = "edf",
    classes: Mapping[str, TrafficClass] | None = None,
    handshake_timeout_s: float = HANDSHAKE_TIMEOUT_S,
    name: DnsName | None = None,
) -> Tunnel:
    """Start connecting. Needs a running event loop.

    Unless the settings say otherwise, the daemon's certificate is to be for `name`, under which the address was
    found, or without one for the address.
    """
    server_name = settings.server_name or (name.server_name if name is not None else "")
    if settings.transport == "tcp":
        return TcpTunnel(
            TcpClientSettings(
                address=str(address),
                ca=settings.ca,
                client_cert=settings.client_cert,
                client_key=settings.client_key,
                server_name=server_name,
                token=token,
                max_message_bytes=settings.max_message_bytes,
            ),
            clock=clock,
        )
    return QuicTunnel(
        QuicClientSettings(
            address=str(address),
            ca=settings.ca,
            client_cert=settings.client_cert,
            client_key=settings.client_key,
            server_name=server_name,
            token=token,
            scheduler=scheduler,
            congestion_control=settings.congestion_control,
            max_datagram_bytes=settings.max_datagram_bytes,
            batch_window_s=settings.batch_window_s,
            max_message_bytes=settings.max_message_bytes,
            limits=FlowLimits(stream_window_bytes=settings.stream_window_bytes),
            handshake_timeout_s=handshake_timeout_s,
        ),
        classes=classes or {},
        clock=clock,
        rng=random.Random(),  # noqa: S311 -- spreads reconnections in time
    )


class DaemonTunnels:
    """All tunnels of a proxy, and the pool that calls go through. Needs a running event loop."""

    def __init__(
        self,
        settings: ProxySettings,
        *,
        token: Callable[[], bytes],
        clock: Clock,
        scheduler: str,
        classes: Mapping[str, TrafficClass],
        resolver: Resolver,
    ) -> None:
        self._settings = settings
        self._token = token
        self._clock = clock
        self._classes = classes
        self._resolver = resolver
        self.scheduler = scheduler
        """The discipline by which requests are sent, over QUIC."""
        self.pool = DaemonPool([self._open(one) for one in settings.daemons if isinstance(one, Address)])
        self._lasting = self.pool.tunnels
        self._discoveries = [self._follow(one) for one in settings.daemons if isinstance(one, DnsName)]

    def __repr__(self) -> str:
        return f"<DaemonTunnels {self.pool!r} {self._discoveries!r}>"

    @property
    def all(self) -> tuple[Tunnel, ...]:
        """Those that take calls, then those that are retired."""
        return self.pool.tunnels + self.pool.retired

    @property
    def unresolved(self) -> dict[str, str]:
        """The DNS names that have brought no tunnel, and why."""
        return {one.name: one.reason for one in self._discoveries if one.reason}

    def use_scheduler(self, name: str) -> None:
        """Order requests by another discipline, on tunnels to come too. Raises ValueError for an unknown one."""
        for tunnel in self.all:
            tunnel.use_scheduler(name)
        self.scheduler = name

    async def close(self) -> None:
        """Close all tunnels, and open no more."""
        lasting = (tunnel.close() for tunnel in self._lasting)
        await asyncio.gather(*lasting, *(discovery.close() for discovery in self._discoveries))

    def _open(self, address: Address, name: DnsName | None = None) -> Tunnel:
        return open_tunnel(
            address,
            self._settings,
            token=self._token,
            clock=self._clock,
            scheduler=self.scheduler,
            classes=self._classes,
            name=name,
        )

    def _follow(self, name: DnsName) -> Discovery:
        return Discovery(
            name,
            pool=self.pool,
            open_tunnel=lambda address: self._open(address, name),
            resolver=self._resolver,
            interval_s=self._settings.resolve_interval_s,
            clock=self._clock,
            rng=random.Random(),  # noqa: S311 -- spreads resolutions in time
        )
