"""Two bare connections, joined and past their handshake."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aioquic.quic import events
from aioquic.quic.configuration import QuicConfiguration

from policies.scheduling.base import PathEstimate, Scheduler, StreamOrder
from policies.scheduling.round_robin import RoundRobin
from proxy.quic.connection import ScheduledConnection
from proxy.quic.limits import FlowLimits
from proxy.testing.clock import ManualClock
from proxy.testing.memory_link import SERVER_ADDRESS, Link, LinkedConnections, LinkSettings

SMALL = FlowLimits(stream_window_bytes=16 * 1024, connection_window_bytes=256 * 1024, max_streams=100)


@dataclass
class Side:
    """One end: the connection and what has happened on it."""

    connection: ScheduledConnection
    data: defaultdict[int, bytearray] = field(default_factory=lambda: defaultdict(bytearray))
    ended: set[int] = field(default_factory=set)
    resets: list[tuple[int, int]] = field(default_factory=list)
    stops: list[tuple[int, int]] = field(default_factory=list)
    arrivals: list[int] = field(default_factory=list)
    """The stream of each frame that brought something new, in order; runs of one stream count once."""
    room: list[int] = field(default_factory=list)
    terminated: events.ConnectionTerminated | None = None
    grants: bool = True
    """Whether what arrives counts as consumed at once."""

    def on_event(self, event: object) -> None:
        if isinstance(event, events.StreamDataReceived):
            self.data[event.stream_id] += event.data
            if event.end_stream:
                self.ended.add(event.stream_id)
            if self.arrivals[-1:] != [event.stream_id]:
                self.arrivals.append(event.stream_id)
            if self.grants:
                self.connection.grant(event.stream_id, len(event.data))
        elif isinstance(event, events.StreamReset):
            self.resets.append((event.stream_id, event.error_code))
        elif isinstance(event, events.StopSendingReceived):
            self.stops.append((event.stream_id, event.error_code))
        elif isinstance(event, events.ConnectionTerminated):
            self.terminated = event


class Pair:
    """A client and a server; `link` runs them. Stream 0 is the client's first."""

    def __init__(
        self,
        certs: Path,
        *,
        scheduler: Scheduler | None = None,
        limits: FlowLimits = SMALL,
        server_limits: FlowLimits | None = None,
        link: LinkSettings | None = None,
        discover_path_mtu: bool = False,
        low_water_bytes: int = 4096,
        reset_secret: bytes | None = None,
    ) -> None:
        self.clock = ManualClock(now=100.0)
        settings = link or LinkSettings(delay_s=0.01)

        rooms: dict[bool, list[int]] = {True: [], False: []}

        def make(configuration: QuicConfiguration, scheduler: Scheduler, **quic: Any) -> ScheduledConnection:
            own = limits if configuration.is_client else (server_limits or limits)
            return ScheduledConnection(
                scheduler=scheduler,
                limits=own,
                on_room=rooms[configuration.is_client].append,
                low_water_bytes=low_water_bytes,
                discover_path_mtu=discover_path_mtu,
                configuration=configuration,
                **quic,
            )

        def configuration(*, is_client: bool) -> QuicConfiguration:
            own = limits if is_client else (server_limits or limits)
            return QuicConfiguration(
                is_client=is_client,
                alpn_protocols=["h3"],
                max_data=own.connection_window_bytes,
                max_stream_data=own.stream_window_bytes,
                server_name="daemon.test",
            )

        ours = configuration(is_client=True)
        ours.load_verify_locations(cafile=str(certs / "ca.pem"))
        theirs = configuration(is_client=False)
        theirs.load_cert_chain(str(certs / "daemon.pem"), str(certs / "daemon.key"))
        client = make(ours, RoundRobin() if scheduler is None else scheduler)
        server = make(
            theirs,
            RoundRobin(),
            original_destination_connection_id=client.original_destination_connection_id,
            reset_secret=reset_secret,
        )
        self.client = Side(client, room=rooms[True])
        self.server = Side(server, room=rooms[False])
        self.link = LinkedConnections(
            client,
            server,
            clock=self.clock,
            on_event=lambda connection, event: self._side(is_client=connection is client).on_event(event),
            uplink=Link(settings),
            downlink=Link(settings),
        )
        client.connect(SERVER_ADDRESS, now=self.clock.now())
        self.link.run(until=lambda: client.is_ready and server.is_ready)
        self.link.run_for(0.5)

    def _side(self, *, is_client: bool) -> Side:
        return self.client if is_client else self.server

    def set_link(self, **changes: float) -> None:
        """Change both directions."""
        for link in (self.link.uplink, self.link.downlink):
            link.settings = replace(link.settings, **changes)  # type: ignore[arg-type]

    def order(self, stream_id: int, **order: float) -> None:
        """Give one of the client's streams an order."""
        now = self.clock.now()
        self.client.connection.order_stream(
            StreamOrder(stream_id=stream_id, arrived_at=now, **order),  # type: ignore[arg-type]
            now=now,
        )

    def flush(self) -> list[bytes]:
        """What the client sends now, without letting time pass: packet by packet, as they leave."""
        return [data for data, _ in self.client.connection.datagrams_to_send(self.clock.now())]

    def streams_in(self, datagrams: list[bytes]) -> list[list[int]]:
        """For each datagram the streams that it brings the server something new of, in order."""
        found = []
        for data in datagrams:
            self.server.arrivals.clear()
            self.server.connection.receive_datagram(data, ("192.0.2.1", 50000), now=self.clock.now())
            while (event := self.server.connection.next_event()) is not None:
                self.server.on_event(event)
            found.append(list(self.server.arrivals))
        return found


class CountingScheduler:
    """Passes everything on to another scheduler and counts the calls."""

    def __init__(self, inner: Scheduler) -> None:
        self.inner = inner
        self.name = inner.name
        self.calls: defaultdict[str, int] = defaultdict(int)

    def add(self, order: StreamOrder, *, unsent_bytes: int, now: float) -> None:
        self.calls["add"] += 1
        self.inner.add(order, unsent_bytes=unsent_bytes, now=now)

    def next(self, *, now: float) -> int | None:
        self.calls["next"] += 1
        return self.inner.next(now=now)

    def served(self, stream_id: int, *, sent_bytes: int, now: float) -> None:
        self.calls["served"] += 1
        self.inner.served(stream_id, sent_bytes=sent_bytes, now=now)

    def remove(self, stream_id: int) -> None:
        self.calls["remove"] += 1
        self.inner.remove(stream_id)

    def on_path(self, path: PathEstimate, *, now: float) -> None:
        self.calls["on_path"] += 1
        self.inner.on_path(path, now=now)

    def __len__(self) -> int:
        return len(self.inner)

    def log_data(self, *, now: float) -> dict[str, str | int | float]:
        return self.inner.log_data(now=now)


def write(pair: Pair, stream_id: int, size: int, *, end: bool = True) -> None:
    """Let the client write bytes that tell their stream."""
    pair.client.connection.send_stream_data(stream_id, bytes([stream_id % 251]) * size, end)


def arrived(pair: Pair, *sizes: tuple[int, int]) -> Callable[[], bool]:
    """Whether the server has so many bytes of each stream."""
    return lambda: all(len(pair.server.data[stream_id]) >= size for stream_id, size in sizes)
