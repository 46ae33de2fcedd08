"""The figures of one cell, in the results' format."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ops.bench.end_to_end.requests import CUT, TokenOutcome
from ops.bench.figures import percentile
from policies.reward import reward, score
from policies.simulation.workload import Workload

SHED = "RESOURCE_EXHAUSTED"


def metrics(outcomes: Sequence[TokenOutcome], workload: Workload) -> dict[str, Any]:
    """Shares of all requests; latencies to the first token, in seconds, of those that had one, None where none had.

    `score` is the sum of weight × quality over requests on time, of what the best quality in time could earn.
    """
    weights = {kind.traffic.name: kind.traffic.weight for kind in workload.classes}
    quality = {candidate.model: candidate.quality for candidate in workload.candidates}
    earned = sum(
        reward(weights[one.traffic_class], quality.get(one.model or "", 0.0), on_time=one.on_time) for one in outcomes
    )
    offered = sum(weights[one.traffic_class] for one in outcomes)
    found = {
        **_figures(outcomes),
        "weighted_on_time": sum(weights[one.traffic_class] for one in outcomes if one.on_time) / offered,
        "score": score(earned, offered, workload.best_quality),
        "bound_share": None,
        "models": {name: sum(one.model == name for one in outcomes) / len(outcomes) for name in quality},
        "longest_gap_p99_s": percentile(sorted(one.longest_gap_s for one in outcomes if one.tokens > 1), 0.99),
        "by_class": {},
    }
    for name in weights:
        if own := [one for one in outcomes if one.traffic_class == name]:
            found["by_class"][name] = _figures(own)
    return found


def _figures(outcomes: Collection[TokenOutcome]) -> dict[str, Any]:
    latencies = sorted(one.first_latency_s for one in outcomes if one.first_latency_s is not None)
    failed = sum(one.status not in {"OK", CUT, SHED} for one in outcomes)
    return {
        "requests": len(outcomes),
        "on_time": sum(one.on_time for one in outcomes) / len(outcomes),
        "shed": sum(one.status == SHED for one in outcomes) / len(outcomes),
        "failed": failed / len(outcomes),
        "p50_s": percentile(latencies, 0.50),
        "p99_s": percentile(latencies, 0.99),
        "mean_s": statistics.fmean(latencies) if latencies else None,
    }


def with_simulated(figures: Mapping[str, Any], simulated: Mapping[str, Any]) -> dict[str, Any]:
    """Both figures of a cell, and how far the simulator's score is above the real one."""
    return {
        **figures,
        "simulated": dict(simulated),
        "simulated_minus_real": simulated["score"] - figures["score"],
    }
