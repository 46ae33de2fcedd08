"""Several connections that share one link, each with a bulk transfer, in virtual time.

`python -m tests.scenario.bottleneck` prints the tables of the ADR "BBR".

    bottleneck = Bottleneck(certs, uplink=LinkSettings(rate_bytes_s=625_000, delay_s=0.05, queue_bytes=65536))
    first, second = bottleneck.add_flow("bbr"), bottleneck.add_flow("cubic")
    bottleneck.run(30.0)
    assert second.delivered_bytes > 0.25 * first.delivered_bytes

Clients send, over the uplink that they share; acknowledgements come back over the downlink. A flow that is `both_ways`
fills the downlink as well, and `ask` lets real-time requests go ahead of all that.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
import sys
import tempfile
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aioquic.quic import events
from aioquic.quic.configuration import QuicConfiguration

from policies.scheduling.base import StreamOrder
from policies.scheduling.edf import EarliestDeadlineFirst
from proxy.commands.certs import make_certs
from proxy.quic.connection import ScheduledConnection
from proxy.quic.limits import FlowLimits, PathStatistics
from proxy.testing.memory_link import CLIENT_ADDRESS, SERVER_ADDRESS, TIMER_LATENESS_S, Link, LinkSettings

RATE_BYTES_S = 625_000.0
POSTER = LinkSettings(rate_bytes_s=RATE_BYTES_S, delay_s=0.05, queue_bytes=65536, header_bytes=28)
"""5 Mbit/s counted in IP bytes, 50 ms each way, a queue of 64 KiB: a round trip's worth."""
LIMITS = FlowLimits(stream_window_bytes=64 * 1024 * 1024, connection_window_bytes=64 * 1024 * 1024)
WRITE_BYTES = 256 * 1024
"""What a transfer keeps unsent, so that it never waits for the application."""
STREAM_ID = 0
MESSAGE_BYTES = 8192
"""Of a request and of its answer."""


class Flow:
    """One connection and its transfer."""

    def __init__(self, client: ScheduledConnection, server: ScheduledConnection, *, starts_at: float) -> None:
        self.client = client
        self.server = server
        self.starts_at = starts_at
        self.bulk = True
        """Whether the client keeps writing."""
        self.both_ways = False
        """Whether the server keeps writing as well."""
        self.requests: list[float] = []
        """When the next requests are to be sent, the last one first."""
        self.latencies: list[tuple[float, float]] = []
        """When each request was sent, and how long its answer took."""
        self.arrivals: list[tuple[float, int]] = []
        """When bytes of the stream arrived, and how many had by then."""
        self.answer_arrivals: list[tuple[float, int]] = []
        """The same for what the server sends on it."""
        self.asked_at: dict[int, float] = {}
        """Requests without an answer: stream → when they were sent."""

    def __repr__(self) -> str:
        return f"<Flow {self.delivered_bytes} bytes since {self.starts_at:g} {self.client!r}>"

    @property
    def delivered_bytes(self) -> int:
        """What the stream has brought to the server, in order."""
        return self.arrivals[-1][1] if self.arrivals else 0

    def delivered_between(self, begin_at: float, end_at: float) -> int:
        """Bytes of the stream that arrived in this time."""
        times = [at for at, _ in self.arrivals]
        first, last = bisect_left(times, begin_at), bisect_left(times, end_at)
        before = self.arrivals[first - 1][1] if first else 0
        return (self.arrivals[last - 1][1] if last else 0) - before

    def path(self) -> PathStatistics:
        """What the sender knows."""
        return self.client.path_statistics()


class Bottleneck:
    """The link and its flows. Time starts at 0; `run` lets it pass."""

    def __init__(
        self, certs: Path, *, uplink: LinkSettings, downlink: LinkSettings | None = None, seed: int = 1
    ) -> None:
        self.now = 0.0
        self.uplink = Link(uplink, rng=random.Random(f"uplink {seed}"))
        self.downlink = Link(downlink or LinkSettings(delay_s=uplink.delay_s), rng=random.Random(f"downlink {seed}"))
        self.uplink.queueing, self.downlink.queueing = [], []
        self.flows: list[Flow] = []
        self._certs = certs
        self._luck = random.Random(f"requests {seed}")
        self._arrivals: list[tuple[float, int, Flow, bool, bytes]] = []
        self._numbers = itertools.count()

    def __repr__(self) -> str:
        return f"<Bottleneck {self.now:g} s {self.flows!r}>"

    def add_flow(self, congestion_control: str, *, starts_in_s: float = 0.0, bulk: bool = True) -> Flow:
        """A client that connects after `starts_in_s`, and sends as much as it may if `bulk`."""
        max_datagram_bytes = 1452
        ours = QuicConfiguration(
            is_client=True,
            server_name="localhost",
            congestion_control_algorithm=congestion_control,
            max_datagram_size=max_datagram_bytes,
            max_data=LIMITS.connection_window_bytes,
            max_stream_data=LIMITS.stream_window_bytes,
        )
        ours.load_verify_locations(cafile=str(self._certs / "ca.pem"))
        theirs = QuicConfiguration(
            is_client=False,
            congestion_control_algorithm=congestion_control,
            max_datagram_size=max_datagram_bytes,
            max_data=LIMITS.connection_window_bytes,
            max_stream_data=LIMITS.stream_window_bytes,
        )
        theirs.load_cert_chain(self._certs / "daemon.pem", self._certs / "daemon.key")
        client = self._connection(ours)
        server = self._connection(theirs, original_destination_connection_id=client.original_destination_connection_id)
        flow = Flow(client, server, starts_at=self.now + starts_in_s)
        flow.bulk = bulk
        self.flows.append(flow)
        return flow

    def ask(self, flow: Flow, *, begin_at: float, requests: int, gap_s: float) -> None:
        """Let the flow send requests for an answer of the same size, before anything else that waits."""
        gaps = [gap_s * self._luck.uniform(0.5, 1.5) for _ in range(requests)]
        flow.requests = [begin_at + since_s for since_s in itertools.accumulate(gaps)][::-1]

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        end_at = self.now + seconds
        for flow in self.flows:
            self._turn(flow)
        while True:
            at = min((self._next(flow) for flow in self.flows), default=math.inf)
            if self._arrivals:
                at = min(at, self._arrivals[0][0])
            if at > end_at:
                self.now = end_at
                return
            self.now = max(self.now, at)
            woken: dict[int, Flow] = {}
            while self._arrivals and self._arrivals[0][0] <= self.now:
                _, _, flow, to_server, data = heapq.heappop(self._arrivals)
                receiver, source = (flow.server, CLIENT_ADDRESS) if to_server else (flow.client, SERVER_ADDRESS)
                receiver.receive_datagram(data, source, now=self.now)
                woken[id(flow)] = flow
            for flow in self.flows:
                if id(flow) in woken or self._next(flow) <= self.now:
                    self._turn(flow)

    def change(self, **settings: float) -> None:
        """Change the uplink; a delay holds for both directions."""
        self.uplink.settings = replace(self.uplink.settings, **settings)  # type: ignore[arg-type]
        if "delay_s" in settings:
            self.downlink.settings = replace(self.downlink.settings, delay_s=settings["delay_s"])

    def queueing_s(self, begin_at: float, end_at: float) -> list[float]:
        """How long each datagram that came to the uplink in this time waited there, in order of length."""
        return sorted(delay for at, delay in self.uplink.queueing or () if begin_at <= at < end_at)

    def _connection(self, configuration: QuicConfiguration, **quic: Any) -> ScheduledConnection:
        return ScheduledConnection(
            scheduler=EarliestDeadlineFirst(),
            limits=LIMITS,
            on_room=lambda _: None,
            discover_path_mtu=False,
            configuration=configuration,
            **quic,
        )

    def _next(self, flow: Flow) -> float:
        if flow.client.get_peer_address() is None:
            return flow.starts_at
        timers = (_timer(flow.client), _timer(flow.server), flow.requests[-1] if flow.requests else math.inf)
        return min(timers)

    def _turn(self, flow: Flow) -> None:
        now = self.now
        if flow.client.get_peer_address() is None:
            if now < flow.starts_at:
                return
            flow.client.connect(SERVER_ADDRESS, now=now)
        for connection, link in ((flow.client, self.uplink), (flow.server, self.downlink)):
            if connection.get_peer_address() is None:
                continue
            if _timer(connection) <= now:
                connection.handle_timer(now=now)
            self._drain(flow, connection)
            if connection is flow.client or flow.both_ways:
                self._write(flow, connection)
            for data, _ in connection.datagrams_to_send(now):
                for at, copy in link.send(data, now=now):
                    item = (at, next(self._numbers), flow, connection is flow.client, copy)
                    heapq.heappush(self._arrivals, item)

    def _write(self, flow: Flow, connection: ScheduledConnection) -> None:
        while connection is flow.client and flow.requests and flow.requests[-1] <= self.now:
            stream_id = connection.open_stream() or connection.open_stream()  # the first is the transfer's
            flow.asked_at[stream_id] = flow.requests.pop()
            self._send_message(connection, stream_id)
        begun = connection is flow.client or bool(flow.arrivals)
        if flow.bulk and begun and connection.is_ready and connection.unsent_bytes(STREAM_ID) < WRITE_BYTES:
            connection.send_stream_data(STREAM_ID, bytes(WRITE_BYTES))

    def _send_message(self, connection: ScheduledConnection, stream_id: int) -> None:
        order = StreamOrder(stream_id, arrived_at=self.now, deadline=self.now + 1.0)
        connection.order_stream(order, now=self.now)
        connection.write(stream_id, bytes(MESSAGE_BYTES), now=self.now, end_stream=True)

    def _drain(self, flow: Flow, connection: ScheduledConnection) -> None:
        is_server = connection is flow.server
        while (event := connection.next_event()) is not None:
            if not isinstance(event, events.StreamDataReceived):
                continue
            if event.stream_id == STREAM_ID:
                arrivals = flow.arrivals if is_server else flow.answer_arrivals
                before = arrivals[-1][1] if arrivals else 0
                arrivals.append((self.now, before + len(event.data)))
            elif event.end_stream:
                if is_server:
                    self._send_message(connection, event.stream_id)
                else:
                    asked_at = flow.asked_at.pop(event.stream_id)
                    flow.latencies.append((asked_at, self.now - asked_at))
            connection.grant(event.stream_id, len(event.data))


def _timer(connection: ScheduledConnection) -> float:
    when = connection.get_timer() if connection.get_peer_address() is not None else None
    return math.inf if when is None else when + TIMER_LATENESS_S


def jain_index(shares: Sequence[float]) -> float:
    """Jain's fairness index: 1 for equal shares, 1/n where one of n has all."""
    return sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares))


def mean_ms(delays_s: Sequence[float]) -> float:
    """Of queueing delays, in milliseconds."""
    return 1000 * sum(delays_s) / len(delays_s)


def p95_ms(delays_s: Sequence[float]) -> float:
    """Of sorted queueing delays, in milliseconds."""
    return 1000 * delays_s[int(0.95 * len(delays_s))]


# The tables of the ADR


def _alone(certs: Path) -> Iterator[str]:
    yield "one flow, 30 s: goodput (share of the link, IP bytes), queueing delay mean and p95"
    for control in ("bbr", "cubic", "reno"):
        for loss in (0.0, 0.005, 0.02):
            bottleneck = Bottleneck(certs, uplink=replace(POSTER, loss=loss))
            flow = bottleneck.add_flow(control)
            bottleneck.run(30.0)
            delays = bottleneck.queueing_s(3.0, 30.0)
            share = flow.delivered_bytes / 30.0 / RATE_BYTES_S
            yield f"  {control:5} {loss:6.1%}: {share:5.1%}  {mean_ms(delays):5.1f} ms  {p95_ms(delays):5.1f} ms"


def _together(certs: Path) -> Iterator[str]:
    yield "two flows: shares, Jain's index, queueing delay mean"
    for queue_bytes in (62_500, 125_000):
        for controls, starts_s in (
            (("bbr", "bbr"), (0.0, 0.13)),
            (("bbr", "bbr"), (0.0, 10.0)),
            (("bbr", "cubic"), (0.0, 0.0)),
            (("bbr", "cubic"), (0.0, 10.0)),
            (("bbr", "cubic"), (10.0, 0.0)),
        ):
            bottleneck = Bottleneck(certs, uplink=replace(POSTER, queue_bytes=queue_bytes))
            flows = [
                bottleneck.add_flow(control, starts_in_s=start)
                for control, start in zip(controls, starts_s, strict=True)
            ]
            bottleneck.run(40.0)
            begin = max(starts_s) and max(starts_s) + 10.0
            shares = [flow.delivered_between(begin, 40.0) / (40.0 - begin) / RATE_BYTES_S for flow in flows]
            shown = " ".join(
                f"{control} from {start:g} s {share:5.1%} "
                for control, start, share in zip(controls, starts_s, shares, strict=True)
            )
            delay_ms = mean_ms(bottleneck.queueing_s(begin, 40.0))
            yield f"  {queue_bytes} B queue, {begin:g} to 40 s: {shown} {jain_index(shares):.3f}  {delay_ms:.0f} ms"


def flood(certs: Path, *, loss: float, seed: int) -> tuple[list[float], list[float], Flow]:
    """Answer times of 200 requests on an idle link and on one that is full both ways, and the flow that fills it.

    The delay differs a little from seed to seed: without loss nothing else would.
    """
    link = replace(POSTER, loss=loss, queue_bytes=62_500, delay_s=POSTER.delay_s + 0.0013 * seed)

    def answers(*, bulk: bool) -> Flow:
        bottleneck = Bottleneck(certs, uplink=link, downlink=link, seed=seed)
        flow = bottleneck.add_flow("bbr", bulk=bulk)
        flow.both_ways = True
        bottleneck.ask(flow, begin_at=5.0, requests=200, gap_s=0.1)
        bottleneck.run(30.0)
        return flow

    idle, flooded = answers(bulk=False), answers(bulk=True)
    return sorted(took_s for _, took_s in idle.latencies), sorted(took_s for _, took_s in flooded.latencies), flooded


def p99_ms(times_s: Sequence[float]) -> float:
    """Of sorted times, in milliseconds."""
    return 1000 * times_s[int(0.99 * len(times_s))]


def _flooded(certs: Path) -> Iterator[str]:
    yield "requests of 8 KiB with answers as long, idle and with both directions full: p99, ratio, p90; bulk up"
    for loss in (0.0, 0.005):
        for seed in range(1, 7):
            idle, flooded, flow = flood(certs, loss=loss, seed=seed)
            ratio, p90_ms = p99_ms(flooded) / p99_ms(idle), 1000 * flooded[int(0.9 * len(flooded))]
            share = flow.delivered_between(2.0, 25.0) / 23.0 / RATE_BYTES_S
            yield (
                f"  {loss:5.1%} seed {seed}: {p99_ms(idle):4.0f} {p99_ms(flooded):4.0f} ms  {ratio:.2f}"
                f"  {p90_ms:4.0f} ms  {share:5.1%}"
            )


def _changes(certs: Path) -> Iterator[str]:
    yield "bbr, after 10 s: goodput of each second as a share of the link as it is then, and queueing delay"
    for name, queue_bytes, changes in (
        ("rate halves", 65536, {10: {"rate_bytes_s": RATE_BYTES_S / 2}}),
        ("rate halves, 1 MB queue", 1_000_000, {10: {"rate_bytes_s": RATE_BYTES_S / 2}}),
        ("rate doubles", 65536, {10: {"rate_bytes_s": 2 * RATE_BYTES_S}}),
        ("rate times 8", 65536, {10: {"rate_bytes_s": 8 * RATE_BYTES_S}}),
        ("delay doubles", 65536, {10: {"delay_s": 0.1}}),
        ("delay halves", 65536, {10: {"delay_s": 0.025}}),
        ("10 % loss for 6 s", 65536, {10: {"loss": 0.1}, 16: {"loss": 0.0}}),
        ("nothing for 3 s", 65536, {10: {"loss": 1.0}, 13: {"loss": 0.0}}),
    ):
        bottleneck = Bottleneck(certs, uplink=replace(POSTER, queue_bytes=queue_bytes))
        flow = bottleneck.add_flow("bbr")
        goodput, delays = [], []
        for second in range(24):
            bottleneck.change(**changes.get(second, {}))
            bottleneck.run(1.0)
            if second >= 9:
                delivered = flow.delivered_between(second, second + 1)
                goodput.append(f"{delivered / bottleneck.uplink.settings.rate_bytes_s:4.0%}")
                waited = bottleneck.queueing_s(second, second + 1)
                delays.append(f"{mean_ms(waited):4.0f}" if waited else "   -")
        yield f"  {name}\n    goodput {' '.join(goodput)}\n    ms      {' '.join(delays)}"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        make_certs(Path(directory), now=datetime.now(UTC))
        for table in (_alone, _together, _flooded, _changes):
            for line in table(Path(directory)):
                sys.stdout.write(f"{line}\n")
