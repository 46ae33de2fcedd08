"""A tunnel to one daemon, over the transport that the configuration names."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from policies.traffic import TrafficClass
from proxy.clock import Clock
from proxy.config import Address, ProxySettings
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
) -> Tunnel:
    """Start connecting. Needs a running event loop."""
    if settings.transport == "tcp":
        return TcpTunnel(
            TcpClientSettings(
                address=str(address),
                ca=settings.ca,
                client_cert=settings.client_cert,
                client_key=settings.client_key,
                server_name=settings.server_name or "",
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
            server_name=settings.server_name or "",
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
