"""The figures of one cell, from what was kept of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ops.bench.congestion.grid import Cell, link_of, towards
from ops.bench.congestion.scenario import CongestionScenario
from ops.bench.congestion.wire import STARTED_S, STEP_S
from ops.bench.figures import percentile
from ops.link import Direction, LinkSettings

Entry = Mapping[str, Any]

WINDOW_S = 1.0
"""Over which the shares of flows and the return of goodput are looked at: ten round trips of 100 ms."""
RECOVERED = 0.9
"""Of the share of the link that the flow had before the first change."""
ADAPTED_S = 5.0
"""What a flow that joins is given before the shares count: the cycle of BBR's probes is two to three seconds long
(draft-ietf-ccwg-bbr-05 section 5.3.3)."""
FAIR = 0.9
"""Jain's index of two flows of which one has twice the other's share."""


def metrics(cell: Cell, entry: Entry, scenario: CongestionScenario) -> dict[str, Any]:
    """The figures of the cell's part, and CPU time by process as a share of one core."""
    found = _PARTS[cell.part](cell, entry, scenario)
    return {**found, "cpu": {name: round(used / entry["seconds"], 3) for name, used in entry["cpu_s"].items()}}


def _goodput(cell: Cell, entry: Entry, scenario: CongestionScenario) -> dict[str, Any]:
    """Shares are of the link's rate, counted in bytes of messages; delays are those of the bottleneck's queue."""
    (flow,), seen = entry["flows_seen"], entry["wire"][towards(cell)]
    seconds = flow["ends_s"] - flow["begins_s"]
    settled = sum(flow["arrived"][round(STARTED_S / STEP_S) :])
    capacity = cell.rate_bits_s / 8
    return {
        "goodput_share": flow["bytes"] / seconds / capacity,
        "goodput_share_settled": settled / (seconds - STARTED_S) / capacity,
        "wire_share_settled": seen["wire_bytes_settled"] / (seconds - STARTED_S) / capacity,
        "wire_bytes_per_byte": seen["wire_bytes"] / max(flow["bytes"], 1),
        "queueing_mean_s": seen["queueing"]["mean_s"],
        "queueing_p95_s": seen["queueing"]["p95_s"],
        "queueing_settled_mean_s": seen["queueing_settled"]["mean_s"],
        "queueing_settled_p95_s": seen["queueing_settled"]["p95_s"],
        "queueing_mean_rtt": _over(seen["queueing"]["mean_s"], scenario.round_trip_s),
        "dropped_share": seen["dropped"] / max(seen["packets"], 1),
    }


def _realtime(cell: Cell, entry: Entry, scenario: CongestionScenario) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for phase, probe in entry["probes"].items():
        latencies = sorted(value for value in probe["latencies_s"] if value is not None)
        found[phase] = {
            "p50_s": percentile(latencies, 0.50),
            "p90_s": percentile(latencies, 0.90),
            "p99_s": percentile(latencies, 0.99),
            "answered": len(latencies) / len(probe["latencies_s"]),
            "up_queueing_mean_s": entry["wire"][phase]["up"]["queueing"]["mean_s"],
            "down_queueing_mean_s": entry["wire"][phase]["down"]["queueing"]["mean_s"],
        }
    seconds = scenario.realtime.requests * scenario.realtime.gap_s
    for direction in Direction:
        found["flood"][f"{direction}_wire_share"] = (
            entry["wire"]["flood"][direction]["wire_bytes"] * 8 / seconds / cell.rate_bits_s
        )
    found["flood"]["bulk_errors"] = float(entry["probes"]["flood"]["errors"])
    for name in ("p50", "p99"):
        found[f"{name}_ratio"] = _over(found["flood"][f"{name}_s"], found["idle"][f"{name}_s"])
    return found


def _fairness(cell: Cell, entry: Entry, scenario: CongestionScenario) -> dict[str, Any]:
    part, flows = scenario.fairness, entry["flows_seen"]
    begins_s = part.join_at_s + ADAPTED_S
    seconds = part.seconds - begins_s
    taken = [sum(flow["arrived"][round(begins_s / STEP_S) :]) for flow in flows]
    over_time = jain_over_time([flow["arrived"] for flow in flows], ADAPTED_S)
    fair_at = next(
        (at for at, index in over_time if at >= part.join_at_s and index is not None and index >= FAIR), None
    )
    capacity = cell.rate_bits_s / 8 * seconds
    queueing = [
        value for value in entry["wire"][towards(cell)]["queueing_s"][round(begins_s / STEP_S) :] if value is not None
    ]
    return {
        "first_share": taken[0] / capacity,
        "second_share": taken[1] / capacity,
        "second_of_both": taken[1] / max(sum(taken), 1),
        "goodput_share": sum(taken) / capacity,
        "jain": jain(taken),
        "fair_after_s": None if fair_at is None else fair_at - part.join_at_s,
        "queueing_mean_s": sum(queueing) / len(queueing) if queueing else None,
    }


def _changes(cell: Cell, entry: Entry, scenario: CongestionScenario) -> dict[str, Any]:
    """For each change: the share of the link's rate until the next one, and two times.

    One is what the flow needs to have nine tenths of the share that it had before the first change, the other what the
    queue needs to be shorter than a round trip.
    """
    (flow,), seen = entry["flows_seen"], entry["wire"][towards(cell)]
    link = link_of(cell, scenario)
    changes = sorted(link.changes, key=lambda change: change.at_s)
    before = _share(flow["arrived"], STARTED_S, changes[0].at_s, link.rate_bits_s)
    found: dict[str, Any] = {"share_before": before, "after": {}}
    settings = link.towards(towards(cell))
    ends = [change.at_s for change in changes[1:]] + [scenario.changes.seconds]
    for change, ends_s in zip(changes, ends, strict=True):
        settings = settings.with_values(change.values)
        reached = _reached(flow["arrived"], change.at_s, ends_s, before, settings)
        found["after"][f"{change.at_s:g} s"] = {
            "goodput_share": _share(flow["arrived"], change.at_s, ends_s, settings.rate_bits_s),
            "recovered_s": reached,
            "queue_short_s": _short(seen["queueing_s"], change.at_s, ends_s, scenario.round_trip_s),
        }
    return found


def _share(arrived: Sequence[int], begins_s: float, ends_s: float, rate_bits_s: float) -> float | None:
    took = sum(arrived[round(begins_s / STEP_S) : round(ends_s / STEP_S)])
    return _over(took * 8 / (ends_s - begins_s), rate_bits_s)


def _reached(
    arrived: Sequence[int], begins_s: float, ends_s: float, before: float | None, settings: LinkSettings
) -> float | None:
    """How long after a change a window begins in which the flow has its share again; None where it never has."""
    wanted = RECOVERED * (before or 0.0) * settings.rate_bits_s / 8 * WINDOW_S
    first, last, window = round(begins_s / STEP_S), round(ends_s / STEP_S), round(WINDOW_S / STEP_S)
    for step in range(first, last - window + 1):
        if sum(arrived[step : step + window]) >= wanted:
            return round((step - first) * STEP_S, 3)
    return None


def _short(queueing_s: Sequence[float | None], begins_s: float, ends_s: float, round_trip_s: float) -> float | None:
    """How long after a change the queue was longer than a round trip for the last time; None: to the end."""
    first, last = round(begins_s / STEP_S), round(ends_s / STEP_S)
    steps = [step for step in range(first, last) if (queueing_s[step] or 0.0) > round_trip_s]
    if not steps:
        return 0.0
    return None if steps[-1] == last - 1 else round((steps[-1] + 1 - first) * STEP_S, 3)


def jain(shares: Sequence[float]) -> float | None:
    """Jain's index of fairness (Jain, Chiu and Hawe, 1984): 1 where all have the same, 1/n where one has it all."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else None


def jain_over_time(arrived: Sequence[Sequence[int]], window_s: float = WINDOW_S) -> list[tuple[float, float | None]]:
    """(time at which a window begins, index in it)."""
    window = round(window_s / STEP_S)
    steps = min(map(len, arrived))
    return [
        (start * STEP_S, jain([sum(one[start : start + window]) for one in arrived]))
        for start in range(0, steps - window + 1, round(WINDOW_S / STEP_S) // 2)
    ]


def _over(value: float | None, of: float | None) -> float | None:
    return None if value is None or not of else value / of


_PARTS = {"goodput": _goodput, "realtime": _realtime, "fairness": _fairness, "changes": _changes}
