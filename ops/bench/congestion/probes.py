"""Real-time requests: when they arrive, and what is kept of what became of them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from ops.bench.congestion.scenario import Realtime
from ops.bench.network.requests import Outcome, Request

TRAFFIC_CLASS = "realtime"


def draw(part: Realtime, *, seed: int) -> tuple[Request, ...]:
    """The requests of both phases, by arrival. Gaps are drawn evenly from half the mean to one and a half."""
    luck = random.Random(f"probes {seed}")
    found: list[Request] = []
    at_s = 0.0
    for number in range(part.requests):
        at_s += part.gap_s * luck.uniform(0.5, 1.5)
        found.append(Request(number, TRAFFIC_CLASS, at_s, part.size_bytes))
    return tuple(found)


def kept(outcomes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """For the journal.

    Latencies in s in the order of arrival, None for a request without a right answer; statuses; and how far the client
    was behind an arrival at most.
    """
    records = [Outcome(**outcome) for outcome in outcomes]
    statuses: dict[str, int] = {}
    for record in records:
        statuses[record.status] = statuses.get(record.status, 0) + 1
    latencies = [record.latency_s for record in records]
    return {
        "latencies_s": [None if value is None else round(value, 6) for value in latencies],
        "statuses": statuses,
        "behind_s": round(max(record.sent_s - record.arrival_s for record in records), 6),
    }
