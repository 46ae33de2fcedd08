"""How requests cross the link, for the simulator: served packet by packet in the scheduler's order.

Pure and without feedback: the link takes what its congestion controller would have it take, whoever waits.
The way back is not scheduled; a token is a packet or less, and all of them together take a tenth of the link.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ops.bench.end_to_end.window import RULES, SEGMENT_BYTES, Window
from ops.bench.network.grid import Row
from ops.link import Direction, LinkSettings
from policies.scheduling.base import PathEstimate
from policies.scheduling.registry import make_scheduler
from policies.scheduling.simulator import Job, Rate, simulate
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


def settings_at(link: LinkSettings, at_s: float) -> LinkSettings:
    """The requests' direction of a link at a time after its start."""
    found = link.towards(Direction.UP)
    for change in sorted(link.changes, key=lambda one: one.at_s):
        if change.at_s <= at_s and change.direction in {None, Direction.UP}:
            found = found.with_values(change.values)
    return replace(found, changes=())


def _at(link: LinkSettings) -> Callable[[float], LinkSettings]:
    if link.changes:
        return lambda at_s: settings_at(link, at_s)
    always = settings_at(link, 0.0)
    return lambda _: always


def rate_bytes_s(link: LinkSettings) -> float:
    """What requests' bytes get of a link at most."""
    return link.rate_bits_s / 8 * PAYLOAD_SHARE * (1 - link.loss)


def _rate(link: LinkSettings, column: Row, luck: random.Random) -> Rate:
    """What the column's congestion controller gets of it: as much as there is, or what losses leave its window."""
    there = _at(link)
    rules = RULES.get(column.congestion_control)
    if rules is not None and any(there(at_s).loss > 0 for at_s in (0.0, *(change.at_s for change in link.changes))):
        # The kernel acknowledges at once; over QUIC the ends take part in each round trip.
        relay_s = 2 * RELAY_S if column.transport == "quic" else 0.0
        return Window(rules, there, luck, share=PAYLOAD_SHARE, relay_s=relay_s)
    return lambda now: rate_bytes_s(there(now))


def crossed(
    workload: Workload,
    classes: Mapping[str, TrafficClass],
    link: LinkSettings,
    column: Row,
    seed: int,
    *,
    window: int = 0,
) -> Trace:
    """The workload's trace of a seed, with the times at which requests reach the daemon over this link.

    `window` is the number of a draw of what a loss-based congestion controller gets. A lost packet comes a round trip
    later, and the request with it; over TCP so do the requests behind it.
    """
    drawn = draw(workload, seed)
    jobs = []
    for place, sent_at in enumerate(drawn.sent_at):
        kind = classes[workload.classes[drawn.kind[place]].traffic.name]
        size = drawn.size_bytes[place] + HEADERS_BYTES
        jobs.append(Job(sent_at, size, drawn.deadline_at[place], kind.weight, kind.priority, kind.level))

    there = _at(link)
    rate = _rate(link, column, random.Random(f"window {seed} {window}"))

    def path(now: float) -> PathEstimate:
        delay_s = there(now).delay_s
        return PathEstimate(rate(now), 2 * delay_s, 2 * delay_s)

    left = _fifo(jobs, rate) if column.scheduler is None else _scheduled(column.scheduler, jobs, rate, path)
    luck = random.Random(f"transit {seed}")
    arrived = []
    for job, left_at in zip(jobs, left, strict=True):
        met = there(left_at)
        packets = math.ceil(job.size_bytes / SEGMENT_BYTES)
        lost = luck.random() < 1 - (1 - met.loss) ** packets
        arrived.append(left_at + met.delay_s * (3 if lost else 1) + RELAY_S)
    if column.transport == "tcp":
        arrived = _in_order(arrived, left)
    return _reordered(drawn, arrived, link)


def _scheduled(
    name: str,
    jobs: Sequence[Job],
    rate: Rate,
    path: Callable[[float], PathEstimate],
) -> list[float]:
    """When the last byte of each has left, in the order of one of headway's schedulers."""
    finished = simulate(make_scheduler(name), jobs, rate=rate, estimate=path)
    return [finish.finished_at for finish in finished]


def _fifo(jobs: Sequence[Job], rate: Rate) -> list[float]:
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
