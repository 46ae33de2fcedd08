"""Writes OTLP JSON lines by hand, and a call as headway's processes and Triton tell of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

PROXY, DAEMON, TRITON = "headway-proxy", "headway-daemon", "triton-inference-server"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
BEGIN_NS = 1_795_376_918_000_000_000
"""2026-11-22 19:48:38 UTC."""
INTERNAL, SERVER, CLIENT = 1, 2, 3

STAGES = {
    "receive": 1.0,
    "uplink_wait": 4.0,
    "uplink_transfer": 45.0,
    "daemon_queue": 5.0,
    "policy": 5.0,
    "model_queue": 60.0,
    "model_compute": 40.0,
    "downlink_wait": 10.0,
    "downlink_transfer": 25.0,
    "delivery": 5.0,
}
"""Milliseconds; together 200."""


def attributes(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in values.items()]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": value}


def event(name: str, at_ms: float, **values: Any) -> dict[str, Any]:
    return {"name": name, "timeUnixNano": _at(at_ms), "attributes": attributes(values.pop("of", {}))}


def span(
    span_id: str,
    parent: str,
    start_ms: float,
    end_ms: float,
    *,
    name: str = "inference.GRPCInferenceService/ModelInfer",
    kind: int = SERVER,
    trace: str = TRACE,
    of: Mapping[str, Any] | None = None,
    events: Sequence[Mapping[str, Any]] = (),
    error: str = "",
) -> dict[str, Any]:
    """`of` has its attributes."""
    return {
        "traceId": trace,
        "spanId": span_id,
        **({"parentSpanId": parent} if parent else {}),
        "name": name,
        "kind": kind,
        "startTimeUnixNano": _at(start_ms),
        "endTimeUnixNano": _at(end_ms),
        "attributes": attributes(of or {}),
        "events": list(events),
        "status": {"code": 2, "message": error} if error else {},
    }


def line(service: str, *spans: Mapping[str, Any]) -> str:
    resource = {"attributes": attributes({"service.name": service})}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}) + "\n"


def call_lines(
    *,
    trace: str = TRACE,
    traffic_class: str = "realtime",
    deadline_ms: float = 150.0,
    stages: Mapping[str, float] = STAGES,
    missed_at: str = "",
    begin_ms: float = 0.0,
    skew_ms: float = 0.0,
) -> tuple[str, str, str]:
    """The proxy's line, the daemon's and Triton's. `skew_ms`: how far the latter two's clock is ahead."""
    ids = [f"{trace[:12]}000{number}" for number in range(7)]
    total = sum(stages.values())
    own = {
        "headway.class": traffic_class,
        "headway.deadline_ms": deadline_ms,
        "headway.deadline.slack_ms": deadline_ms - total,
        "rpc.status_code": "OK",
        **{f"headway.stage.{name}_ms": took_ms for name, took_ms in stages.items()},
        **({"headway.deadline.missed_at": missed_at} if missed_at else {}),
    }
    there = begin_ms + skew_ms
    model = {"gen_ai.request.model": "llm", "gen_ai.response.model": "llm-medium", "headway.instance": "a"}
    queued = [event("QUEUE_START", there + 62)]
    return (
        line(
            PROXY,
            span(ids[1], ids[0], begin_ms + 1, begin_ms + 199, kind=CLIENT, trace=trace),
            span(ids[0], "", begin_ms, begin_ms + total, trace=trace, of=own),
        ),
        line(
            DAEMON,
            span(ids[3], ids[2], there + 60, there + 160, kind=CLIENT, trace=trace),
            span(ids[2], ids[1], there + 50, there + 170, trace=trace, of=model),
        ),
        line(
            TRITON,
            span(ids[6], ids[5], there + 120, there + 158, name="compute", trace=trace),
            span(ids[5], ids[4], there + 61, there + 159, name="llm-medium", trace=trace, events=queued),
            span(ids[4], ids[3], there + 61, there + 159, name="InferRequest", trace=trace),
        ),
    )


def _at(after_ms: float) -> str:
    return str(BEGIN_NS + round(after_ms * 1e6))
