"""The figures of one cell, in the results' format."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from ops.bench.figures import percentile
from ops.bench.network.requests import Outcome
from ops.bench.network.scenario import RequestClass


def is_on_time(outcome: Outcome, classes: Mapping[str, RequestClass]) -> bool:
    """Answered rightly, no later than its class's deadline after its arrival."""
    return outcome.latency_s is not None and outcome.latency_s <= classes[outcome.traffic_class].deadline_s


def metrics(
    outcomes: Sequence[Outcome], classes: Mapping[str, RequestClass], bound_weight: float | None
) -> dict[str, Any]:
    """Shares of all requests; latencies of those that were answered, in seconds, None where none was.

    `bound_weight` is the most that any schedule could have had on time, in weight.
    """
    on_time = [outcome for outcome in outcomes if is_on_time(outcome, classes)]
    weight = sum(classes[outcome.traffic_class].weight for outcome in on_time)
    offered = sum(classes[outcome.traffic_class].weight for outcome in outcomes)
    found = {
        **_figures(outcomes, len(on_time)),
        "weighted_on_time": weight / offered,
        "score": None,
        "bound_share": weight / bound_weight if bound_weight else None,
        "by_class": {},
    }
    for name in classes:
        if own := [outcome for outcome in outcomes if outcome.traffic_class == name]:
            found["by_class"][name] = _figures(own, sum(is_on_time(outcome, classes) for outcome in own))
    return found


def _figures(outcomes: Sequence[Outcome], on_time: int) -> dict[str, Any]:
    latencies = sorted(outcome.latency_s for outcome in outcomes if outcome.latency_s is not None)
    return {
        "requests": len(outcomes),
        "answered": len(latencies) / len(outcomes),
        "on_time": on_time / len(outcomes),
        "p50_s": percentile(latencies, 0.50),
        "p99_s": percentile(latencies, 0.99),
        "mean_s": statistics.fmean(latencies) if latencies else None,
    }
