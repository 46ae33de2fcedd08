"""Links and what is at their ends, in memory and in virtual time: delay, rate, queue, loss, reordering, all seeded.

`Link` is one direction: it says what becomes of each datagram. `LinkedConnections` joins two QUIC connections by two
links and lets virtual time pass:

    pair = LinkedConnections(client, server, clock=ManualClock(), uplink=Link(LinkSettings(delay_s=0.05, loss=0.02)))
    pair.run(until=lambda: len(received) == 100_000)

Whole tunnels, with their asyncio side, are joined by `proxy.testing.memory_port`.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from proxy.quic.connection import ScheduledConnection
from proxy.testing.clock import ManualClock

CLIENT_ADDRESS = ("192.0.2.1", 50000)
SERVER_ADDRESS = ("192.0.2.2", 4433)
"""Addresses for documentation (RFC 5737)."""
TIMER_LATENESS_S = 1e-6
"""How late a timer fires. On the very instant, aioquic's sums of floats may not agree yet that a packet's time is over,
and it would ask for the same instant again for ever."""


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """What one direction of a link does to datagrams. Shares are of all datagrams, from 0 to 1."""

    delay_s: float = 0.0
    """From the end of a datagram's sending to its arrival."""
    rate_bytes_s: float = math.inf
    queue_bytes: float = math.inf
    """What may wait to be sent; a datagram that finds more waiting is dropped."""
    header_bytes: int = 0
    """What each datagram takes of rate and queue besides itself; 28 for UDP over IPv4."""
    mtu_bytes: int = 65535
    """A longer datagram is dropped without a word."""
    loss: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    """One bit is turned over."""
    reorder: float = 0.0
    reorder_delay_s: float = 0.0
    """How much later than the others a reordered datagram arrives."""


@dataclass(frozen=True, slots=True)
class LinkStatistics:
    """What has become of the datagrams so far."""

    sent: int = 0
    sent_bytes: int = 0
    dropped: int = 0
    """Lost, too long, or without room in the queue."""
    duplicated: int = 0
    corrupted: int = 0
    reordered: int = 0


class Link:
    """One direction. `settings` may be replaced at any time; they hold for what is sent from then on."""

    def __init__(self, settings: LinkSettings | None = None, *, rng: random.Random | None = None) -> None:
        self.settings = settings or LinkSettings()
        self._rng = rng or random.Random(0)  # noqa: S311 -- a seed makes a run repeatable
        self._idle_at = 0.0
        self._to_lose = 0
        self.queueing: list[tuple[float, float]] | None = None
        """Set to a list: when each datagram came that was let in, and how long it waited for those before it."""
        self._counts = dict.fromkeys(LinkStatistics.__slots__, 0)

    def __repr__(self) -> str:
        return f"<Link {self.statistics()}>"

    def statistics(self) -> LinkStatistics:
        """What has become of the datagrams so far."""
        return LinkStatistics(**self._counts)

    def lose_next(self, datagrams: int) -> None:
        """Drop the next so many datagrams."""
        self._to_lose += datagrams

    def send(self, datagram: bytes, *, now: float) -> list[tuple[float, bytes]]:
        """What arrives of a datagram that is sent now, and when: as a rule itself, once."""
        settings, rng, counts = self.settings, self._rng, self._counts
        counts["sent"] += 1
        counts["sent_bytes"] += len(datagram)
        # Each decision draws in any case, so that one setting does not move the others' luck.
        lost, twice, damaged, where, late = (rng.random() for _ in range(5))
        if self._is_dropped(datagram, now, lost=lost < settings.loss):
            counts["dropped"] += 1
            return []
        if self.queueing is not None:
            self.queueing.append((now, max(self._idle_at - now, 0.0)))
        self._idle_at = max(self._idle_at, now) + (len(datagram) + settings.header_bytes) / settings.rate_bytes_s
        arrives_at = self._idle_at + settings.delay_s
        if damaged < settings.corrupt:
            counts["corrupted"] += 1
            datagram = _with_a_bit_turned(datagram, int(where * len(datagram) * 8))
        if late < settings.reorder:
            counts["reordered"] += 1
            arrives_at += settings.reorder_delay_s
        if twice < settings.duplicate:
            counts["duplicated"] += 1
            return [(arrives_at, datagram), (arrives_at + settings.delay_s, datagram)]
        return [(arrives_at, datagram)]

    def _is_dropped(self, datagram: bytes, now: float, *, lost: bool) -> bool:
        if self._to_lose > 0:
            self._to_lose -= 1
            return True
        waiting_s = max(self._idle_at - now, 0.0)
        size = len(datagram) + self.settings.header_bytes
        full = waiting_s > 0 and waiting_s * self.settings.rate_bytes_s + size > self.settings.queue_bytes
        return lost or full or len(datagram) > self.settings.mtu_bytes


class LinkedConnections:
    """Two connections and the two links between them.

    Each event of either goes to `on_event`, with the connection that it happened on.
    """

    def __init__(
        self,
        client: ScheduledConnection,
        server: ScheduledConnection,
        *,
        clock: ManualClock,
        on_event: Callable[[ScheduledConnection, object], None],
        uplink: Link | None = None,
        downlink: Link | None = None,
    ) -> None:
        self.client = client
        self.server = server
        self.clock = clock
        self.uplink = uplink or Link()
        self.downlink = downlink or Link()
        self._on_event = on_event
        self._arrivals: list[tuple[float, int, ScheduledConnection, bytes]] = []
        self._numbers = itertools.count()

    def __repr__(self) -> str:
        return f"<LinkedConnections {self.clock!r} arrivals={len(self._arrivals)} {self.client!r} {self.server!r}>"

    def run(self, *, until: Callable[[], bool], within_s: float = 60.0) -> None:
        """Let time pass until `until` holds. Raises TimeoutError if it does not within `within_s`."""
        give_up_at = self.clock.now() + within_s
        self._send()
        while not until():
            at = min((when for when in self._moments() if when is not None), default=math.inf)
            if at > give_up_at:
                raise TimeoutError(f"{self!r}: not within {within_s:g} s")
            self.clock.advance(max(at - self.clock.now(), 0.0))
            self._deliver()
            self._handle_timers()
            self._send()

    def run_for(self, seconds: float) -> None:
        """Let so much time pass."""
        end_at = self.clock.now() + seconds
        while True:
            self._send()
            at = min((when for when in self._moments() if when is not None), default=math.inf)
            if at > end_at:
                self.clock.advance(end_at - self.clock.now())
                return
            self.clock.advance(max(at - self.clock.now(), 0.0))
            self._deliver()
            self._handle_timers()

    def _moments(self) -> tuple[float | None, ...]:
        arrival = self._arrivals[0][0] if self._arrivals else None
        return (arrival, *(self._timer(connection) for connection in (self.client, self.server)))

    def _timer(self, connection: ScheduledConnection) -> float | None:
        # A server that has heard nothing yet has no timer, and must not be asked for one.
        when = connection.get_timer() if connection.get_peer_address() is not None else None
        return None if when is None else when + TIMER_LATENESS_S

    def _send(self) -> None:
        now = self.clock.now()
        for sender, receiver, link in (
            (self.client, self.server, self.uplink),
            (self.server, self.client, self.downlink),
        ):
            if sender.get_peer_address() is None:
                continue
            for data, _ in sender.datagrams_to_send(now):
                for at, copy in link.send(data, now=now):
                    heapq.heappush(self._arrivals, (at, next(self._numbers), receiver, copy))

    def _deliver(self) -> None:
        now = self.clock.now()
        while self._arrivals and self._arrivals[0][0] <= now:
            _, _, receiver, data = heapq.heappop(self._arrivals)
            source = CLIENT_ADDRESS if receiver is self.server else SERVER_ADDRESS
            receiver.receive_datagram(data, source, now=now)
            self._drain(receiver)

    def _handle_timers(self) -> None:
        now = self.clock.now()
        for connection in (self.client, self.server):
            when = self._timer(connection)
            if when is not None and when <= now:
                connection.handle_timer(now=now)
                self._drain(connection)

    def _drain(self, connection: ScheduledConnection) -> None:
        while (event := connection.next_event()) is not None:
            self._on_event(connection, event)


def _with_a_bit_turned(datagram: bytes, index: int) -> bytes:
    damaged = bytearray(datagram)
    damaged[index // 8] ^= 1 << index % 8
    return bytes(damaged)
