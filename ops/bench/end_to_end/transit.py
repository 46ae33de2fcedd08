"""How requests cross the link, for the simulator: served packet by packet in the scheduler's order.

Pure and without feedback: the link takes what its congestion controller would have it take on average, whoever waits.
The way back is not scheduled; a token is a packet or less, and all of them together take a tenth of the link.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ops.bench.network.grid import Row
from ops.link import Direction, LinkSettings
from policies.scheduling.base import PathEstimate
from policies.scheduling.registry import make_scheduler
from policies.scheduling.simulator import Job, simulate
from policies.simulation.trace import Trace, draw
from policies.simulation.workload import Workload
from policies.traffic import TrafficClass

HEADERS_BYTES = 250
"""HTTP/3's and gRPC's around a request, and the message's own: as the client of this experiment sends them."""

PAYLOAD_SHARE = 0.93
"""Of a full packet, and of the link beside acknowledgements: 1400 of 1500 bytes."""

RELAY_S = 0.004
"""What proxy and daemon add, each way, where cores are free: a bare grpc.aio hop takes 0.75 ms (facts of the machine),
headway's about two of them on the way up, and a message passes four processes."""

MATHIS = math.sqrt(3 / 2)
"""Packets in flight of a loss-based sender at loss p are this over √p (Mathis et al., 1997, and RFC 5681's halving).
Cubic's own window, 1.054 (RTT/p)^¾, is below that here, and then it is to behave like reno (RFC 9438, 4.3 and 5.1).
At 5 Mbit/s, 100 ms and 0.5 % that is 0.39 of the link; a long transfer took 0.35 to 0.44 of it by reno and cubic, QUIC
and TCP, and at 2 % 0.17 to 0.19 (0.19): `python -m ops.bench congestion`."""

SEGMENT_BYTES = 1400
LOSS_BASED = ("reno", "cubic")


def settings_at(link: LinkSettings, at_s: float) -> LinkSettings:
    """The requests' direction of a link at a time after its start."""
    found = link.towards(Direction.UP)
    for change in sorted(link.changes, key=lambda one: one.at_s):
        if change.at_s <= at_s and change.direction in {None, Direction.UP}:
            found = found.with_values(change.values)
    return replace(found, changes=())


def rate_bytes_s(link: LinkSettings, column: Row) -> float:
    """What requests' bytes get of a link on average, whoever sends them."""
    rate = link.rate_bits_s / 8 * PAYLOAD_SHARE * (1 - link.loss)
    if column.congestion_control in LOSS_BASED and link.loss > 0 and link.delay_s > 0:
        rate = min(rate, SEGMENT_BYTES * MATHIS / math.sqrt(link.loss) / (2 * link.delay_s))
    return rate


def crossed(
    workload: Workload, classes: Mapping[str, TrafficClass], link: LinkSettings, column: Row, seed: int
) -> Trace:
    """The workload's trace of a seed, with the times at which requests reach the daemon over this link.

    A lost packet comes a round trip later, and the request with it; over TCP so do the requests behind it.
    """
    drawn = draw(workload, seed)
    jobs = []
    for place, sent_at in enumerate(drawn.sent_at):
        kind = classes[workload.classes[drawn.kind[place]].traffic.name]
        size = drawn.size_bytes[place] + HEADERS_BYTES
        jobs.append(Job(sent_at, size, drawn.deadline_at[place], kind.weight, kind.priority, kind.level))

    def rate(now: float) -> float:
        return rate_bytes_s(settings_at(link, now), column)

    def path(now: float) -> PathEstimate:
        delay_s = settings_at(link, now).delay_s
        return PathEstimate(rate(now), 2 * delay_s, 2 * delay_s)

    left = _fifo(jobs, rate) if column.scheduler is None else _scheduled(column.scheduler, jobs, rate, path, link)
    luck = random.Random(f"transit {seed}")
    arrived = []
    for job, left_at in zip(jobs, left, strict=True):
        there = settings_at(link, left_at)
        packets = math.ceil(job.size_bytes / SEGMENT_BYTES)
        lost = luck.random() < 1 - (1 - there.loss) ** packets
        arrived.append(left_at + there.delay_s * (3 if lost else 1) + RELAY_S)
    if column.transport == "tcp":
        arrived = _in_order(arrived, left)
    return _reordered(drawn, arrived, link)


def _scheduled(
    name: str,
    jobs: Sequence[Job],
    rate: Callable[[float], float],
    path: Callable[[float], PathEstimate],
    link: LinkSettings,
) -> list[float]:
    """When the last byte of each has left, in the order of one of headway's schedulers."""
    steady = not link.changes
    finished = simulate(
        make_scheduler(name), jobs, rate=rate(0.0) if steady else rate, estimate=path(0.0) if steady else path
    )
    return [finish.finished_at for finish in finished]


def _fifo(jobs: Sequence[Job], rate: Callable[[float], float]) -> list[float]:
    """The same through a kernel's send buffer, which takes megabytes at once and knows of no deadlines."""
    left = [0.0] * len(jobs)
    now = 0.0
    for place in sorted(range(len(jobs)), key=lambda place: jobs[place].arrived_at):
        now = max(now, jobs[place].arrived_at)
        now += jobs[place].size_bytes / rate(now)
        left[place] = now
    return left


def _in_order(arrived: Sequence[float], left: Sequence[float]) -> list[float]:
    """TCP hands over nothing before all that was sent earlier: a loss holds up everything behind it."""
    found = list(arrived)
    latest = 0.0
    for place in sorted(range(len(found)), key=left.__getitem__):
        latest = found[place] = max(latest, found[place])
    return found


def _reordered(drawn: Trace, arrived: Sequence[float], link: LinkSettings) -> Trace:
    order = sorted(range(len(arrived)), key=arrived.__getitem__)
    back = [settings_at(link, arrived[place]).delay_s for place in order]
    return Trace(
        sent_at=[drawn.sent_at[place] for place in order],
        arrived_at=[arrived[place] for place in order],
        kind=[drawn.kind[place] for place in order],
        deadline_at=[drawn.deadline_at[place] for place in order],
        way_back_s=[delay_s + RELAY_S for delay_s in back],
        known_way_back_s=back,
        size_bytes=[drawn.size_bytes[place] for place in order],
        prompt_tokens=[drawn.prompt_tokens[place] for place in order],
        answer_tokens=[drawn.answer_tokens[place] for place in order],
    )
