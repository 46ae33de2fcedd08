"""Two endpoints, joined in virtual time, and users of their streams that only keep what they hear."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aioquic.quic.configuration import QuicConfiguration

from policies.scheduling.registry import make_scheduler
from proxy.quic.connection import ScheduledConnection
from proxy.quic.driver import Datagram
from proxy.quic.endpoint import Endpoint, StreamUser
from proxy.quic.limits import FlowLimits
from proxy.testing.memory_link import LinkSettings
from proxy.testing.memory_port import MemoryNetwork

LINK = LinkSettings(delay_s=0.01)
Accept = Callable[[Endpoint, int], StreamUser]


class Heard:
    """Keeps what happens on a stream. `proxy.quic.endpoint.StreamUser`."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.ended = False
        self.resets: list[int] = []
        self.stops: list[int] = []
        self.rooms = 0
        self.lost: list[str] = []

    def on_bytes(self, data: bytes, *, ended: bool) -> None:
        self.data += data
        self.ended = self.ended or ended

    def on_reset(self, error_code: int) -> None:
        self.resets.append(error_code)

    def on_stop(self, error_code: int) -> None:
        self.stops.append(error_code)

    def on_room(self) -> None:
        self.rooms += 1

    def on_lost(self, reason: str) -> None:
        self.lost.append(reason)


@dataclass
class Joined:
    """The two ends. `heard` has what came on each stream that the client opened, unless `accept` was given."""

    network: MemoryNetwork
    client: Endpoint
    server: Endpoint
    heard: dict[int, Heard] = field(default_factory=dict)
    ends: list[tuple[str, str]] = field(default_factory=list)
    """Which end ended, and why."""

    def open(self) -> tuple[int, Heard]:
        """A stream of the client's and its user."""
        stream_id = self.client.connection.open_stream()
        user = Heard()
        self.client.use(stream_id, user)
        return stream_id, user

    def write(self, endpoint: Endpoint, stream_id: int, data: bytes, *, end: bool = False) -> None:
        """Raw bytes from either end."""
        endpoint.connection.send_stream_data(stream_id, data, end_stream=end)
        endpoint.flush_soon()


@asynccontextmanager
async def joined(
    certs: Path,
    *,
    accept: Accept | None = None,
    refuse: bool = False,
    link: LinkSettings = LINK,
    limits: FlowLimits | None = None,
    client_batch_window_s: float = 0.0,
) -> AsyncIterator[Joined]:
    """Both past their handshake."""
    network = MemoryNetwork(uplink=link, downlink=link)
    heard: dict[int, Heard] = {}
    ends: list[tuple[str, str]] = []
    ready: dict[str, asyncio.Event] = {"client": asyncio.Event(), "server": asyncio.Event()}

    def keep(_: Endpoint, stream_id: int) -> StreamUser:
        return heard.setdefault(stream_id, Heard())

    def received(name: str) -> Callable[[list[Datagram], float], None]:
        def receive(datagrams: list[Datagram], now: float) -> None:
            endpoints[name].receive(datagrams, now)

        return receive

    client_port, address = await network.open_client_port(
        "daemon.test:4433", on_datagrams=received("client"), on_unreachable=lambda _: None
    )
    server_port = network.open_server_port("daemon.test", 4433, on_datagrams=received("server"))
    given = limits or FlowLimits()
    common = {"alpn_protocols": ["h3"], "max_stream_data": given.stream_window_bytes}
    ours = QuicConfiguration(is_client=True, server_name="daemon.test", **common)  # type: ignore[arg-type]
    ours.load_verify_locations(cafile=str(certs / "ca.pem"))
    theirs = QuicConfiguration(is_client=False, **common)  # type: ignore[arg-type]
    theirs.load_cert_chain(str(certs / "daemon.pem"), str(certs / "daemon.key"))

    def connection(configuration: QuicConfiguration, original: bytes | None) -> Callable[..., ScheduledConnection]:
        return lambda on_room: ScheduledConnection(
            scheduler=make_scheduler("rr"),
            limits=given,
            on_room=on_room,
            discover_path_mtu=False,
            configuration=configuration,
            original_destination_connection_id=original,
        )

    client = Endpoint(
        port=client_port,
        make_connection=connection(ours, None),
        accept=None,
        on_ready=lambda _: ready["client"].set(),
        on_end=lambda _, reason: ends.append(("client", reason)),
        batch_window_s=client_batch_window_s,
    )
    server = Endpoint(
        port=server_port,
        make_connection=connection(theirs, client.connection.original_destination_connection_id),
        accept=None if refuse else accept or keep,
        on_ready=lambda _: ready["server"].set(),
        on_end=lambda _, reason: ends.append(("server", reason)),
    )
    endpoints = {"client": client, "server": server}
    client.connection.connect(address, now=client_port.now())
    client.flush_soon()
    for event in ready.values():
        await event.wait()
    await asyncio.sleep(0.5)
    try:
        yield Joined(network, client, server, heard, ends)
    finally:
        for endpoint, port in ((client, client_port), (server, server_port)):
            endpoint.lose("the test is over")
            port.close()
