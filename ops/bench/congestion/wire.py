"""What the link's log shows: queueing delays, and bytes on the wire, over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ops.bench.figures import percentile
from ops.link import Direction
from ops.link.packet_log import COLUMNS

STEP_S = 0.1
"""Of series over time."""
STARTED_S = 2.0
"""How much of a transfer its start-up takes; figures are given with it and without."""

_TIME, _DIRECTION, _BYTES, _FATE, _SENT, _LEFT = (
    COLUMNS.index(name) for name in ("time_s", "direction", "bytes", "fate", "sent_s", "left_s")
)


@dataclass(slots=True)
class _Seen:
    """One direction's packets."""

    entered: list[float] = field(default_factory=list)
    queueing_s: list[float] = field(default_factory=list)
    """Of those that got onto the wire, by `entered`."""
    left: list[tuple[float, int]] = field(default_factory=list)
    lost: int = 0
    dropped: int = 0


def read_log(file: Path, *, begins_s: float, seconds: float, series: bool = True) -> dict[str, Any]:
    """Figures and series for both directions, of packets that entered within `seconds` from `begins_s` on."""
    directions: dict[str, _Seen] = {direction: _Seen() for direction in Direction}
    with file.open(encoding="ascii") as lines:
        next(lines, None)
        for line in lines:
            values = line.rstrip("\n").split("\t")
            at = float(values[_TIME]) - begins_s
            if not 0 <= at < seconds or values[_FATE] == "duplicate":
                continue
            seen = directions[values[_DIRECTION]]
            seen.lost += values[_FATE] == "lost"
            seen.dropped += values[_FATE] == "dropped"
            sent = float(values[_SENT])
            if not math.isnan(sent):
                seen.entered.append(at)
                seen.queueing_s.append(sent - begins_s - at)
            left = float(values[_LEFT]) - begins_s
            if not math.isnan(left):
                seen.left.append((left, int(values[_BYTES])))
    return {direction: _described(seen, seconds, series=series) for direction, seen in directions.items()}


def _described(seen: _Seen, seconds: float, *, series: bool) -> dict[str, Any]:
    settled = [delay for at, delay in zip(seen.entered, seen.queueing_s, strict=True) if at >= STARTED_S]
    within = [(at, size) for at, size in seen.left if at < seconds]
    found: dict[str, Any] = {
        "packets": len(seen.entered) + seen.lost + seen.dropped,
        "lost": seen.lost,
        "dropped": seen.dropped,
        "wire_bytes": sum(size for _, size in within),
        "wire_bytes_settled": sum(size for at, size in within if at >= STARTED_S),
        "queueing": _delays(seen.queueing_s),
        "queueing_settled": _delays(settled),
    }
    if series:
        steps = int(seconds / STEP_S) + 1
        on_wire = [0] * steps
        for at, size in within:
            on_wire[int(at / STEP_S)] += size
        delays: list[list[float]] = [[] for _ in range(steps)]
        for at, delay in zip(seen.entered, seen.queueing_s, strict=True):
            delays[int(at / STEP_S)].append(delay)
        found["wire"] = on_wire
        found["queueing_s"] = [round(sum(some) / len(some), 5) if some else None for some in delays]
    return found


def _delays(delays: Sequence[float]) -> dict[str, float | None]:
    ordered = sorted(delays)
    found = {
        "mean_s": sum(ordered) / len(ordered) if ordered else None,
        "p50_s": percentile(ordered, 0.50),
        "p95_s": percentile(ordered, 0.95),
        "max_s": ordered[-1] if ordered else None,
    }
    return {name: None if value is None else round(value, 6) for name, value in found.items()}
