"""The summary and the drawn calls as JSON, for programs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from proxy.tracefile.calls import Call
from proxy.tracefile.spans import Value
from proxy.tracefile.summary import by_class, by_stage
from proxy.tracefile.tree import Picture, Row


def summary_document(calls: Sequence[Call]) -> dict[str, Any]:
    """By class and by stage; durations are milliseconds, null where nothing tells."""
    return {
        "calls": len(calls),
        "classes": {
            one.name: {
                "deadline_ms": list(one.deadlines_ms) if one.deadlines_ms else None,
                "calls": one.calls,
                "on_time": one.on_time,
                "missed": one.missed,
                "failed": one.failed,
                "p50_ms": _number(one.p50_ms),
                "p99_ms": _number(one.p99_ms),
                "models": dict(sorted(one.models.items())),
            }
            for one in by_class(calls)
        },
        "stages": {
            one.name: {
                "misses": dict(sorted(one.misses.items())),
                "p50_on_time_ms": _number(one.median_on_time_ms),
                "p50_missed_ms": _number(one.median_missed_ms),
                "p99_ms": _number(one.p99_ms),
            }
            for one in by_stage(calls)
        },
    }


def call_document(call: Call) -> dict[str, Any]:
    """A call without its spans."""
    return {
        "trace": call.trace_id,
        "span": call.span_id,
        "service": call.service,
        "method": call.method,
        "class": call.traffic_class,
        "start_unix_ns": call.start_ns,
        "duration_ms": _number(call.duration_ms),
        "deadline_ms": call.deadline_ms,
        "slack_ms": call.slack_ms,
        "missed": call.missed,
        "missed_at": call.missed_at or None,
        "status": call.status,
        "model_asked": call.asked or None,
        "model_answered": call.answered or None,
        "stages_ms": {name: _number(took_ms) for name, took_ms in call.stages.items()},
    }


def picture_document(picture: Picture) -> dict[str, Any]:
    """A call with its spans, in the order in which they are drawn."""
    return {
        **call_document(picture.call),
        "moved_ms": _rounded(picture.shifts_ms),
        "spans": [_span(row) for row in picture.rows if row.span is not None],
    }


def _span(row: Row) -> dict[str, Any]:
    span = row.span
    if span is None:
        return {}
    return {
        "span": span.span_id,
        "parent": span.parent_id or None,
        "service": span.service,
        "name": span.name,
        "start_ms": _number(row.start_ms),
        "duration_ms": _number(row.end_ms - row.start_ms),
        "attributes": _attributes(span.attributes),
        "events": [
            {
                "name": event.name,
                "after_ms": _number(row.start_ms + (event.at_ns - span.start_ns) / 1e6),
                "attributes": _attributes(event.attributes),
            }
            for event in span.events
        ],
    }


def _attributes(attributes: Mapping[str, Value]) -> dict[str, Value | None]:
    """JSON has no NaN."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in attributes.items()
    }


def _number(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None


def _rounded(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _number(value) for name, value in values.items()}
