"""What a link does to real traffic: TCP's goodput, ping's round trip, UDP's delay and loss. One process, both ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, quantiles
from typing import Protocol

from ops.link.emulated import EmulatedLink
from ops.link.errors import LinkError
from ops.link.settings import LinkSettings
from proxy.clock import MonotonicClock

IP_UDP_BYTES = 28
"""IPv4's and UDP's headers (RFC 791, RFC 768)."""
_CHUNK = bytes(1 << 16)
_ICMP_ECHO = 8
_NUMBER = struct.Struct("!Qd")


class End(Protocol):
    """A place that sockets are made in: `Side`, or this machine's loopback."""

    address: str

    def socket(self, family: int, kind: int) -> socket.socket:
        """A socket there."""


@dataclass(frozen=True, slots=True)
class Goodput:
    """One TCP connection that always had something to send, from near to far."""

    congestion_control: str
    bits_s: float
    """Of payload that the receiver's program had, after the warm-up."""
    queueing_s_mean: float
    """In the link's queue, upwards."""
    dropped: int
    """By the queue."""
    shuttle_cpu: float
    """Share of one core that the shuttle took."""
    lateness_s_mean: float
    """How much later than the model says packets came out, on average, and at most."""
    lateness_s_max: float


def tcp_goodput(link: EmulatedLink, congestion_control: str, *, seconds: float, warm_up_s: float = 1.0) -> Goodput:
    """Send over TCP for so long after the warm-up. Raises `LinkError` for a congestion control not in the kernel."""
    with contextlib.ExitStack() as stack:
        source, sink = connection(link, congestion_control, stack)
        clock = MonotonicClock()
        begins_at = clock.now() + warm_up_s
        _pump(source, sink, until=begins_at)
        link.statistics(reset=True)
        busy_s = cpu_s(link)
        received = _pump(source, sink, until=begins_at + seconds)
        took_s = clock.now() - begins_at
        busy_s = cpu_s(link) - busy_s
        statistics = link.statistics()
        late = (statistics.up, statistics.down)
        return Goodput(
            congestion_control=congestion_control,
            bits_s=received * 8 / took_s,
            queueing_s_mean=statistics.up.queueing_s_mean,
            dropped=statistics.up.dropped,
            shuttle_cpu=busy_s / took_s,
            lateness_s_mean=fmean(one.lateness_s_mean for one in late),
            lateness_s_max=max(one.lateness_s_max for one in late),
        )


def connection(
    link: EmulatedLink, congestion_control: str, stack: contextlib.ExitStack
) -> tuple[socket.socket, socket.socket]:
    """A TCP connection from near to far, both its ends, neither blocking."""
    listener = stack.enter_context(link.far.socket())
    listener.bind((link.far.address, 0))
    listener.listen(1)
    source = stack.enter_context(link.near.socket())
    try:
        source.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion_control.encode())
    except OSError as error:
        raise LinkError(f"this kernel has no TCP congestion control {congestion_control}: {error.strerror}") from error
    source.settimeout(10.0)
    source.connect(listener.getsockname())
    sink = stack.enter_context(listener.accept()[0])
    source.settimeout(0.0)
    sink.settimeout(0.0)
    return source, sink


def _pump(source: socket.socket, sink: socket.socket, *, until: float) -> int:
    """Send without pause; the bytes that came out."""
    clock = MonotonicClock()
    received = 0
    while (left_s := until - clock.now()) > 0:
        readable, writable, _ = select.select([sink], [source], [], left_s)
        if readable:
            received += len(sink.recv(1 << 18))
        if writable:
            with contextlib.suppress(BlockingIOError):
                source.send(_CHUNK)
    return received


def cpu_s(link: EmulatedLink) -> float:
    """Processor time that the link's shuttle has taken."""
    fields = Path(f"/proc/{link.shuttle_pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    user, system = int(fields[11]), int(fields[12])
    return (user + system) / os.sysconf("SC_CLK_TCK")


def ping(link: EmulatedLink, *, count: int, interval_s: float = 0.05, timeout_s: float = 1.0) -> list[float]:
    """Round trips of ICMP echoes from near to far, in seconds; those that were lost are not in it."""
    with link.near.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as source:
        source.settimeout(0.0)
        clock = MonotonicClock()
        round_trips = []
        for number in range(count):
            sent_at = clock.now()
            # The kernel fills in identifier and checksum.
            source.sendto(struct.pack("!BBHHH", _ICMP_ECHO, 0, 0, 0, number) + bytes(56), (link.far.address, 0))
            while select.select([source], [], [], max(sent_at + timeout_s - clock.now(), 0.0))[0]:
                answer = source.recv(2048)
                if struct.unpack("!H", answer[6:8])[0] == number:
                    round_trips.append(clock.now() - sent_at)
                    break
            _pause(sent_at + interval_s)
        return round_trips


@dataclass(frozen=True, slots=True)
class Arrival:
    """One datagram that came out."""

    number: int
    sent_at: float
    arrived_at: float


def udp(source: End, target: End, *, sizes: Sequence[int], interval_s: float, timeout_s: float = 1.0) -> list[Arrival]:
    """Send datagrams of these sizes, headers included, at a steady pace; the arrivals before `timeout_s` of silence."""
    with (
        source.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        target.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
    ):
        receiver.bind((target.address, 0))
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        sender.connect(receiver.getsockname())
        clock = MonotonicClock()
        arrivals: list[Arrival] = []
        start_at = clock.now()
        for number, size in enumerate(sizes):
            arrivals.extend(_received(receiver, until=start_at + number * interval_s))
            sender.send(_NUMBER.pack(number, clock.now()).ljust(size - IP_UDP_BYTES, b"\0"))
        while more := list(_received(receiver, until=clock.now() + timeout_s, first=True)):
            arrivals.extend(more)
        return arrivals


def _received(receiver: socket.socket, *, until: float, first: bool = False) -> Iterator[Arrival]:
    """What arrives until then; with `first` no more than one."""
    clock = MonotonicClock()
    while select.select([receiver], [], [], max(until - clock.now(), 0.0))[0]:
        data = receiver.recv(65535)
        number, sent_at = _NUMBER.unpack_from(data)
        yield Arrival(number, sent_at, clock.now())
        if first:
            return


def _pause(until: float) -> None:
    select.select([], [], [], max(until - MonotonicClock().now(), 0.0))


async def report(settings: LinkSettings, *, seconds: float, seed: int = 1) -> list[str]:
    """Measure a link of these settings, a fresh one for each number; lines of text. Raises `LinkError`."""
    async with EmulatedLink(settings, seed=seed) as link:
        round_trips = await asyncio.to_thread(ping, link, count=20)
        lines = [f"ping: {_summary(round_trips)}, {len(round_trips)} of 20 came back"]
        controls = link.near.sysctl("net.ipv4.tcp_available_congestion_control").split()
    for control in controls:
        async with EmulatedLink(settings, seed=seed) as link:
            one = await asyncio.to_thread(tcp_goodput, link, control, seconds=seconds)
            lines.append(
                f"TCP {control}: goodput {one.bits_s / 1e6:.2f} Mbit/s, queueing {one.queueing_s_mean * 1e3:.1f} ms on "
                f"average, {one.dropped} dropped; shuttle {one.shuttle_cpu:.1%} of a core, late by "
                f"{one.lateness_s_mean * 1e3:.2f} ms on average, {one.lateness_s_max * 1e3:.2f} ms at most"
            )
    return lines


def _summary(times_s: Sequence[float]) -> str:
    if len(times_s) < 2:
        return "no round trips"
    return f"median {quantiles(times_s, n=2)[0] * 1e3:.2f} ms, longest {max(times_s) * 1e3:.2f} ms"
