"""What a packet costs, by open streams: of a scheduler alone, and of two connections joined in memory."""

from __future__ import annotations

import time
from pathlib import Path

from aioquic.quic import events
from aioquic.quic.configuration import QuicConfiguration

from ops.bench.certificates import make_certificates
from policies.scheduling.base import Scheduler, StreamOrder
from policies.scheduling.registry import make_scheduler
from policies.scheduling.round_robin import RoundRobin
from proxy.quic.connection import ScheduledConnection
from proxy.quic.limits import FlowLimits
from proxy.testing.clock import ManualClock
from proxy.testing.memory_link import SERVER_ADDRESS, Link, LinkedConnections, LinkSettings

PACKET_BYTES = 1200
PACKET_S = 0.001
BEGIN_AT = 1000.0
LINK = LinkSettings(delay_s=0.002, rate_bytes_s=20e6, queue_bytes=128 * 1024)
"""Narrow enough that a few hundred packets at most are on the way."""
LIMITS = FlowLimits(max_streams=20_000)
"""More streams than are measured; windows as headway has them."""
BACKLOG = bytes(4 * 1024 * 1024)
"""What a ready stream has to send. One object for all of them: send buffers keep what they are given."""


def order(index: int) -> StreamOrder:
    """The order of one of many streams: deadlines that do not pass, both levels, three priorities, three weights."""
    return StreamOrder(
        4 * index,
        BEGIN_AT - 1.0 / (index + 1),
        BEGIN_AT + 1e6 + index * 7919 % 10_007,
        priority=index % 3,
        level="high" if index % 2 else "low",
        weight=1.0 + index % 3,
    )


def long_streams_s(name: str, streams: int, packets: int) -> float:
    """CPU seconds a packet of a scheduler whose streams all stay ready."""
    scheduler = make_scheduler(name)
    for index in range(streams):
        scheduler.add(order(index), unsent_bytes=10**9, now=BEGIN_AT)
    now = BEGIN_AT
    began_at = time.process_time()
    for _ in range(packets):
        stream_id = _chosen(scheduler, now)
        scheduler.served(stream_id, sent_bytes=PACKET_BYTES, now=now)
        now += PACKET_S
    return (time.process_time() - began_at) / packets


def short_streams_s(name: str, streams: int, packets: int) -> float:
    """CPU seconds a packet of a scheduler whose streams are one packet long, and as many come as go."""
    scheduler = make_scheduler(name)
    for index in range(streams):
        scheduler.add(order(index), unsent_bytes=1000, now=BEGIN_AT)
    coming = [order(index) for index in range(streams, streams + packets)]
    now = BEGIN_AT
    began_at = time.process_time()
    for stream in coming:
        stream_id = _chosen(scheduler, now)
        scheduler.remove(stream_id)
        scheduler.add(stream, unsent_bytes=1000, now=now)
        now += PACKET_S
    return (time.process_time() - began_at) / packets


def _chosen(scheduler: Scheduler, now: float) -> int:
    stream_id = scheduler.next(now=now)
    if stream_id is None:
        raise ValueError(f"{scheduler!r} does not serve streams that are ready")
    return stream_id


class ConnectionPair:
    """A client that sends and a server that reads, with `streams` streams open, past their handshake."""

    def __init__(self, directory: Path, streams: int) -> None:
        certificates = make_certificates(directory)
        ours = QuicConfiguration(is_client=True, alpn_protocols=["h3"], server_name="localhost")
        ours.load_verify_locations(cafile=str(certificates.ca))
        theirs = QuicConfiguration(is_client=False, alpn_protocols=["h3"])
        theirs.load_cert_chain(str(certificates.cert), str(certificates.key))
        for configuration in (ours, theirs):
            configuration.max_data = LIMITS.connection_window_bytes
            configuration.max_stream_data = LIMITS.stream_window_bytes
        self._client = _connection(ours)
        self._server = _connection(theirs, self._client.original_destination_connection_id)
        self._clock = ManualClock(now=BEGIN_AT)
        self._received_bytes = 0
        self._link = LinkedConnections(
            self._client,
            self._server,
            clock=self._clock,
            on_event=self._on_event,
            uplink=Link(LINK),
            downlink=Link(LINK),
        )
        self._client.connect(SERVER_ADDRESS, now=BEGIN_AT)
        self._link.run(until=lambda: self._client.is_ready and self._server.is_ready)
        self._streams = [self._client.open_stream() for _ in range(streams)]
        for index, stream_id in enumerate(self._streams):
            self._client.order_stream(order(index)._replace(stream_id=stream_id), now=BEGIN_AT)
            self._client.send_stream_data(stream_id, b"!")
        self._link.run(until=lambda: self._received_bytes == streams and self._client.has_delivered)

    def _on_event(self, connection: ScheduledConnection, event: object) -> None:
        if isinstance(event, events.StreamDataReceived):
            self._received_bytes += len(event.data)
            connection.grant(event.stream_id, len(event.data))

    def idle_streams_s(self, scheduler: Scheduler, packets: int) -> float:
        """CPU seconds a packet of both ends, for a transfer on one stream while the others have nothing to send."""
        return self._transfer_s(scheduler, self._streams[:1], packets)

    def ready_streams_s(self, scheduler: Scheduler, packets: int) -> float:
        """CPU seconds a packet of both ends while all streams have something to send."""
        return self._transfer_s(scheduler, self._streams, packets)

    def _transfer_s(self, scheduler: Scheduler, senders: list[int], packets: int) -> float:
        self._client.use_scheduler(scheduler, now=self._clock.now())
        for stream_id in senders:
            if self._client.unsent_bytes(stream_id) < packets * PACKET_BYTES * 2:
                self._client.send_stream_data(stream_id, BACKLOG)
        self._run(packets // 10)  # up to the pace that it keeps
        before = self._sent()
        began_at = time.process_time()
        self._run(packets)
        return (time.process_time() - began_at) / (self._sent() - before)

    def _run(self, packets: int) -> None:
        goal = self._sent() + packets
        self._link.run(until=lambda: self._sent() >= goal)

    def _sent(self) -> int:
        return self._link.uplink.statistics().sent


def _connection(configuration: QuicConfiguration, destination: bytes | None = None) -> ScheduledConnection:
    return ScheduledConnection(
        scheduler=RoundRobin(),
        limits=LIMITS,
        on_room=lambda _: None,
        discover_path_mtu=False,
        configuration=configuration,
        original_destination_connection_id=destination,
    )
