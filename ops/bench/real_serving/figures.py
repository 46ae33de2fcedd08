"""Answers → the simulator's kind of result, and the two side by side."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from ops.bench.figures import percentile
from ops.bench.real_serving.requests import Answer
from ops.emulated.repository import PREFIX
from policies.reward import is_on_time, reward
from policies.simulation.results import FAILED, OPEN, SHED, Outcome, Result, summarise
from policies.simulation.trace import Trace
from policies.simulation.workload import Workload

SHED_STATUS = "RESOURCE_EXHAUSTED"


def result_of(workload: Workload, policy: str, seed: int, trace: Trace, answers: Sequence[Answer]) -> Result:
    """What the answers to a trace's requests come to, by the simulator's own arithmetic."""
    outcome = Outcome(len(trace))
    places = {f"{PREFIX}{described.model}": place for place, described in enumerate(workload.candidates)}
    for key, answer in enumerate(answers):
        if answer.first_at is None or answer.model not in places:
            outcome.candidate[key] = {SHED_STATUS: SHED, "GIVEN_UP": OPEN}.get(answer.status, FAILED)
            continue
        place, kind = places[answer.model], workload.classes[trace.kind[key]].traffic
        back_s = trace.way_back_s[key]
        on_time = answer.done_at is not None and is_on_time(
            delivered_at=answer.first_at + back_s,
            deadline_at=trace.deadline_at[key],
            longest_gap_s=answer.longest_gap_s,
            token_deadline_s=kind.token_deadline_s,
        )
        outcome.candidate[key] = place
        outcome.on_time[key] = on_time
        outcome.reward[key] = reward(kind.weight, workload.candidates[place].quality, on_time=on_time)
        if answer.done_at is not None:
            outcome.finished_at[key] = answer.done_at + back_s
    return summarise(workload, policy, seed, trace, outcome)


def metrics(result: Result) -> dict[str, Any]:
    """The figures of a cell, in the results' format."""
    return {
        "requests": result.requests,
        "on_time": result.on_time,
        "weighted_on_time": result.weighted_on_time,
        "score": result.score,
        "bound_share": None,
        "shed": result.shed,
        "failed": result.failed,
        "p50_s": result.p50_s,
        "p99_s": result.p99_s,
        "by_class": {
            name: {"on_time": own.on_time, "p50_s": own.p50_s, "p99_s": own.p99_s, "mean_s": own.mean_s}
            for name, own in result.by_class.items()
        },
        "models": result.models,
    }


def difference(real: Mapping[str, Any], simulated: Mapping[str, Any]) -> dict[str, Any]:
    """Real minus simulated, figure by figure, where both are there."""
    found: dict[str, Any] = {}
    for key, value in real.items():
        other = simulated.get(key)
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            found[key] = difference(value, other)
        elif isinstance(value, int | float) and isinstance(other, int | float):
            found[key] = value - other
    return found


def lateness(answers: Sequence[Answer], due: Sequence[float]) -> dict[str, float]:
    """How long after its time the client sent a request, in seconds."""
    late = sorted(answer.sent_at - at for answer, at in zip(answers, due, strict=True))
    return {"p50_s": statistics.median(late), "p99_s": percentile(late, 0.99) or 0.0, "longest_s": late[-1]}
