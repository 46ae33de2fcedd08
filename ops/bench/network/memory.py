"""A cell over the link in memory: both ends of the tunnel in this process, in virtual time, without edge and gRPC.

Hundreds of cells take minutes, and each repeats to the last packet. What it leaves out: the proxy's gRPC server and
the daemon's client, processes that wait for a core, and kernel TCP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.bench.network.backend import METHOD
from ops.bench.network.grid import Cell
from ops.bench.network.requests import Outcome, Request
from ops.bench.network.run import CellRun
from ops.bench.scenario import ScenarioError
from ops.bench.visit import CellError
from ops.link import Change, LinkSettings
from ops.link.settings import Direction
from policies.traffic import Deadline, TrafficClass
from proxy.errors import Code
from proxy.testing import memory_link
from proxy.testing.calls import exchange
from proxy.testing.memory_tunnel import MemoryTunnel
from proxy.testing.virtual_loop import VirtualTimeLoop
from proxy.tunnel.exchange import CallHead, CallStatus, IncomingCall

HEADERS_BYTES = 28
"""IPv4's and UDP's, which the link in memory doesn't count (RFC 791 section 3.1, RFC 768)."""

DATAGRAM_BYTES = 1452
"""What headway's path MTU search finds on a path for Ethernet's 1500-byte packets (ops/decisions/0014)."""

LEAST_RATE_BITS_S = 1.0
"""In the place of 0: the link in memory divides by its rate."""


@dataclass(frozen=True, slots=True)
class MemoryCell:
    """All that a cell needs. It can be sent to another process."""

    cell: Cell
    requests: tuple[Request, ...]
    classes: Mapping[str, TrafficClass]
    link: LinkSettings
    certs: Path
    """Holds `ca.pem`, `server.pem` and `server.key`."""
    give_up_s: float
    warm_up_calls: int


def check(link: LinkSettings) -> None:
    """Raises `ScenarioError` for a link that can't be had in memory."""
    for direction in Direction:
        settings = link.towards(direction)
        if settings.jitter_s:
            raise ScenarioError("link.jitter: not on the link in memory")
        if settings.loss_burst > 1.0:
            raise ScenarioError("link.loss_burst: not on the link in memory")


def memory_settings(link: LinkSettings) -> memory_link.LinkSettings:
    """One direction in memory. Its rate is that of UDP payloads in packets of full length."""
    payload_bytes = int(link.mtu_bytes) - HEADERS_BYTES
    share = payload_bytes / link.mtu_bytes
    return memory_link.LinkSettings(
        delay_s=link.delay_s,
        rate_bytes_s=max(link.rate_bits_s, LEAST_RATE_BITS_S) / 8 * share,
        queue_bytes=link.queue_bytes * share,
        mtu_bytes=payload_bytes,
        loss=link.loss,
        duplicate=link.duplicate,
        reorder=link.reorder,
        reorder_delay_s=link.reorder_delay_s,
    )


def run_memory_cell(spec: MemoryCell) -> CellRun:
    """Run it. Raises `CellError`."""
    try:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            return runner.run(_run(spec))
    except (TimeoutError, ExceptionGroup) as error:
        raise CellError(f"{type(error).__name__}: {error}") from error


async def _run(spec: MemoryCell) -> CellRun:
    loop = asyncio.get_running_loop()
    served_at: dict[int, float] = {}

    async def echo(call: IncomingCall) -> None:
        message = await call.receive()
        number = dict(call.head.metadata).get("number")
        if isinstance(number, str):
            served_at[int(number)] = loop.time()
        await call.send(message or b"")
        await call.finish(CallStatus(Code.OK))

    up, down = (memory_settings(spec.link.towards(direction)) for direction in Direction)
    ends: dict[str, Any] = {
        "congestion_control": spec.cell.row.congestion_control,
        "max_datagram_bytes": min(up.mtu_bytes, down.mtu_bytes, DATAGRAM_BYTES),
    }
    async with MemoryTunnel(
        spec.certs,
        handler=echo,
        uplink=up,
        downlink=down,
        seed=spec.cell.seed,
        scheduler=spec.cell.row.scheduler or "edf",
        classes=spec.classes,
        client=ends,
        server={**ends, "cert": spec.certs / "server.pem", "key": spec.certs / "server.key"},
    ) as tunnel:
        name = next(iter(spec.classes))
        async with asyncio.timeout(spec.give_up_s):
            for _ in range(spec.warm_up_calls):
                head = CallHead(METHOD, traffic_class=name)
                while not (await exchange(tunnel.proxy, head, b"?")).status.ok:  # noqa: ASYNC110 -- in virtual time
                    await asyncio.sleep(0.02)
        began_at = loop.time()
        changing = _Changing(tunnel, spec.link)
        for change in spec.link.changes:
            loop.call_at(began_at + change.at_s, changing.apply, change)

        async def send(request: Request) -> Outcome:
            await asyncio.sleep(began_at + request.arrival_s - loop.time())
            arrived_at = loop.time()
            body = bytes(request.size_bytes)
            head = CallHead(
                METHOD,
                (("number", str(request.number)),),
                request.traffic_class,
                Deadline(arrived_at + spec.classes[request.traffic_class].deadline_s),
                accepted_at=arrived_at,
            )
            try:
                async with asyncio.timeout(spec.give_up_s):
                    answer = await exchange(tunnel.proxy, head, body)
                status = "OK" if answer.messages == (body,) else Code(answer.status.code).name
            except TimeoutError:
                status = Code.DEADLINE_EXCEEDED.name
            served = served_at.get(request.number)
            return Outcome(
                request.number,
                request.traffic_class,
                request.arrival_s,
                arrived_at - began_at,
                None if served is None else served - began_at,
                loop.time() - began_at,
                status,
            )

        outcomes = await asyncio.gather(*(send(request) for request in spec.requests))
        network = tunnel.network
        return CellRun(tuple(outcomes), {"up": _counts(network.uplink), "down": _counts(network.downlink)})


class _Changing:
    """The link's settings as they are at the moment."""

    def __init__(self, tunnel: MemoryTunnel, link: LinkSettings) -> None:
        network = tunnel.network
        self._links = {Direction.UP: network.uplink, Direction.DOWN: network.downlink}
        self._settings = {direction: link.towards(direction) for direction in Direction}

    def apply(self, change: Change) -> None:
        """From now on."""
        for direction, link in self._links.items():
            if change.direction in {None, direction}:
                self._settings[direction] = self._settings[direction].with_values(change.values)
                link.settings = memory_settings(self._settings[direction])


def _counts(link: memory_link.Link) -> dict[str, int]:
    counts = link.statistics()
    return {"packets": counts.sent, "bytes": counts.sent_bytes, "dropped": counts.dropped}
