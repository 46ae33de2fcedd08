"""Tells a trace what a policy saw and what it made of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial

from policies.selection.base import Candidate, Choice, Request
from proxy.telemetry import names
from proxy.telemetry.tracing import CallSpan, Value


def note_decision(
    span: CallSpan,
    request: Request,
    candidates: Sequence[Candidate],
    choice: Choice,
    *,
    policy: str,
    held: int | None = None,
    now: float,
) -> None:
    """Add the event. Its attributes are put together when the span is exported.

    `held` is how many requests waited, where the policy decides late.
    """
    told = partial(_attributes, request, tuple(candidates), choice, policy=policy, held=held, now=now)
    span.event(names.DECISION, at=now, attributes=told)


def _attributes(
    request: Request,
    candidates: Sequence[Candidate],
    choice: Choice,
    *,
    policy: str,
    held: int | None,
    now: float,
) -> dict[str, Value]:
    """Lists are in the candidates' order, with commas between; a dash is for what is not known."""
    attributes: dict[str, Value] = {
        names.POLICY: policy,
        names.DECISION_REASON: choice.reason,
        names.DECISION_CANDIDATES: _list(f"{candidate.name}@{candidate.instance}" for candidate in candidates),
        names.DECISION_READY: _list("yes" if candidate.ready else "no" for candidate in candidates),
        names.DECISION_RUNNING: _list(str(candidate.running) for candidate in candidates),
        names.DECISION_WAITING: _list(str(candidate.waiting) for candidate in candidates),
        names.DECISION_FINISH: _list(_milliseconds(candidate.predicted_finish_at, now) for candidate in candidates),
        names.DECISION_SLOW_DOWN: _list(f"{candidate.slow_down:.3g}" for candidate in candidates),
        names.DECISION_WAY_BACK: round(request.way_back_s * 1000, 3),
        names.DECISION_CHOICE: "shed" if choice.candidate is None else candidates[choice.candidate].name,
    }
    slack_s = request.slack_s(now=now)
    if slack_s != math.inf:
        attributes[names.DECISION_SLACK] = round(slack_s * 1000, 3)
    if held is not None:
        attributes[names.DECISION_HELD] = held
    if choice.scores:
        attributes[names.DECISION_SCORES] = _list(f"{score:.4g}" for score in choice.scores)
    if choice.fallback:
        attributes[names.DECISION_FALLBACK] = choice.fallback
    if (arrivals := request.arrivals) is not None:
        attributes[names.DECISION_FAST_RATE] = round(arrivals.fast_rate, 3)
        attributes[names.DECISION_SLOW_RATE] = round(arrivals.slow_rate, 3)
        attributes[names.DECISION_MIX] = _list(f"{name or '-'}={share:.3f}" for name, share in arrivals.class_mix)
    return attributes


def _list(texts: Iterable[str]) -> str:
    return ", ".join(texts)


def _milliseconds(at: float | None, now: float) -> str:
    return "-" if at is None else f"{(at - now) * 1000:.1f}"
