"""One direction of a link, in virtual time: a packet goes in, and comes out at the times that the settings give it.

A packet's way: it is lost by chance, or joins the queue in front of the wire (tail drop), is on the wire for
bytes × 8 / rate, and then on its way for the delay. All times follow from the moments at which packets enter, never
from the moments at which somebody looks: a late look delays packets, and takes no capacity from the link.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from ops.link.luck import Draws, Losses, Luck
from ops.link.settings import Direction, LinkSettings
from ops.link.statistics import DirectionStatistics, Tally


class Fate(StrEnum):
    """What became of a packet."""

    DELIVERED = "delivered"
    DUPLICATE = "duplicate"
    """The copy of a packet that was delivered."""
    LOST = "lost"
    """By chance."""
    DROPPED = "dropped"
    """No room in the queue."""
    TOO_LONG = "too-long"
    """Longer than the MTU."""


@dataclass(slots=True, eq=False)
class Packet:
    """One packet, and what became of it. Times are those of the `now` that the lane is given."""

    data: bytes
    entered_at: float
    queue_bytes: int
    """What waited for the wire when it entered."""
    draws: Draws
    fate: Fate | None = None
    """None while it is under way."""
    sent_at: float = math.nan
    """When its first bit was on the wire."""
    left_at: float = math.nan
    """When its last bit was."""
    arrives_at: float = math.nan


class Lane:
    """One direction. Calls bring `now`, which never goes back."""

    def __init__(self, settings: LinkSettings, *, seed: int, direction: Direction) -> None:
        self.direction = direction
        self._settings = settings
        self._luck = Luck(seed, direction)
        self._losses = Losses()
        self._tally = Tally()
        self._waiting: deque[Packet] = deque()
        self._waiting_bytes = 0
        self._sending: Packet | None = None
        # Of the packet on the wire: what was left of it, and when.
        self._left_bits = 0.0
        self._left_bits_at = -math.inf
        self._under_way: list[tuple[float, int, Packet]] = []
        self._number = 0
        self._last_arrival_at = -math.inf

    def __repr__(self) -> str:
        return f"<Lane {self.direction} waiting={self._waiting_bytes} B under_way={len(self._under_way)}>"

    @property
    def settings(self) -> LinkSettings:
        """As they are now."""
        return self._settings

    def statistics(self) -> DirectionStatistics:
        """Since the start, or the last reset."""
        return self._tally.statistics()

    def reset_statistics(self) -> None:
        """Count from nothing."""
        self._tally = Tally()

    def change(self, settings: LinkSettings, *, now: float) -> None:
        """Other settings from now on: for packets that wait too, and for the rest of the one on the wire."""
        self._serve(now)
        if self._sending is not None:
            self._left_bits -= (now - self._left_bits_at) * self._settings.rate_bits_s
            self._left_bits_at = now
        self._settings = settings

    def enter(self, data: bytes, *, now: float) -> Packet:
        """A packet that enters now. Its fate is set already if it gets no further."""
        self._serve(now)
        packet = Packet(data, now, self._waiting_bytes, self._luck.draw())
        settings, tally, size = self._settings, self._tally, len(data)
        tally.packets += 1
        tally.bytes += size
        lost = self._losses.lost(packet.draws.loss, loss=settings.loss, burst=settings.loss_burst)
        if size > settings.mtu_bytes:
            packet.fate = Fate.TOO_LONG
            tally.too_long += 1
        elif lost:
            packet.fate = Fate.LOST
            tally.lost += 1
        else:
            self._join_queue(packet, size, now)
        return packet

    def arrived(self, *, now: float) -> list[Packet]:
        """The packets that have come out since the last call, in order."""
        self._serve(now)
        under_way, tally = self._under_way, self._tally
        out = []
        while under_way and under_way[0][0] <= now:
            at, _, packet = heapq.heappop(under_way)
            if packet.fate is None:
                packet.fate = Fate.DELIVERED
                tally.delivered += 1
                tally.delivered_bytes += len(packet.data)
                tally.lateness_s += now - at
                tally.lateness_s_max = max(tally.lateness_s_max, now - at)
            out.append(packet)
        return out

    def next_at(self) -> float:
        """When to ask next; math.inf if nothing is under way."""
        at = self._under_way[0][0] if self._under_way else math.inf
        if self._sending is None:
            return at
        settings = self._settings
        # Not before this can anything come out of the queue.
        return min(at, self._sent_whole_at() + max(settings.delay_s - settings.jitter_s, 0.0))

    def _join_queue(self, packet: Packet, size: int, now: float) -> None:
        tally = self._tally
        tally.reached_queue += 1
        tally.found_bytes += self._waiting_bytes
        if self._sending is None:
            self._send(packet, now)
            self._serve(now)
        elif self._waiting_bytes + size > self._settings.queue_bytes:
            packet.fate = Fate.DROPPED
            tally.dropped += 1
        else:
            self._waiting.append(packet)
            self._waiting_bytes += size
            tally.queue_bytes_max = max(tally.queue_bytes_max, self._waiting_bytes)

    def _send(self, packet: Packet, at: float) -> None:
        waited_s = at - packet.entered_at
        packet.sent_at = at
        self._sending = packet
        self._left_bits = len(packet.data) * 8.0
        self._left_bits_at = at
        self._tally.served += 1
        self._tally.queueing_s += waited_s
        self._tally.queueing_s_max = max(self._tally.queueing_s_max, waited_s)

    def _sent_whole_at(self) -> float:
        rate = self._settings.rate_bits_s
        return self._left_bits_at + self._left_bits / rate if rate else math.inf

    def _serve(self, now: float) -> None:
        """Let the wire work until now."""
        while self._sending is not None and (at := self._sent_whole_at()) <= now:
            self._start_out(self._sending, at)
            self._sending = None
            if self._waiting:
                following = self._waiting.popleft()
                self._waiting_bytes -= len(following.data)
                self._send(following, at)

    def _start_out(self, packet: Packet, left_at: float) -> None:
        settings, draws = self._settings, packet.draws
        delay_s = settings.delay_s + (2 * draws.jitter - 1) * settings.jitter_s
        at = max(left_at + max(delay_s, 0.0), self._last_arrival_at)
        if draws.reorder < settings.reorder:
            at += settings.reorder_delay_s
            self._tally.reordered += 1
        else:
            self._last_arrival_at = at
        packet.left_at, packet.arrives_at = left_at, at
        self._put_under_way(packet)
        if draws.duplicate < settings.duplicate:
            self._tally.duplicated += 1
            copy = Packet(packet.data, packet.entered_at, packet.queue_bytes, draws, Fate.DUPLICATE)
            copy.sent_at, copy.left_at, copy.arrives_at = packet.sent_at, left_at, at
            self._put_under_way(copy)

    def _put_under_way(self, packet: Packet) -> None:
        self._number += 1
        heapq.heappush(self._under_way, (packet.arrives_at, self._number, packet))
