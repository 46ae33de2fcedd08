"""What one line of OTLP JSON says.

The encoding: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding. Writers differ in what they may leave
out and in how they spell 64-bit integers and ids; what they agree on is read here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Value = str | float | bool | list[Any]

SERVER = 2
CLIENT = 3
"""OTLP's numbers for those kinds of span."""
TRITON_SERVICE = "triton-inference-server"
"""Triton's, unless its settings name another."""
_ERROR = 2
"""Its number for that status."""
_OTHER_SIGNALS = ("resourceMetrics", "resourceLogs", "resourceProfiles")


class LineError(ValueError):
    """A line is no OTLP JSON; the text says why."""


class OtherSignalError(LineError):
    """A line of metrics or logs, which a collector may write to the same file."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at one moment of a span."""

    name: str
    at_ns: int
    attributes: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Span:
    """One span. Ids are in lower case; times are nanoseconds since 1970 on its own host's clock."""

    trace_id: str
    span_id: str
    parent_id: str
    """Empty for none."""
    service: str
    name: str
    kind: int
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Value]
    events: tuple[Event, ...] = ()
    failed: bool = False
    message: str = ""
    """Of its status."""

    @property
    def duration_ms(self) -> float:
        """From start to end."""
        return (self.end_ns - self.start_ns) / 1e6

    def text(self, name: str) -> str:
        """An attribute as text; empty without it."""
        return str(self.attributes.get(name, ""))

    def number(self, name: str) -> float | None:
        """An attribute that is a number; None for any other and without it."""
        value = self.attributes.get(name)
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def parse_line(line: bytes) -> Iterator[Span]:
    """The spans of a line. Raises `LineError` before or between them."""
    try:
        message = json.loads(line)
    except ValueError as error:
        raise LineError(f"not JSON: {error}") from None
    if not isinstance(message, dict) or "resourceSpans" not in message:
        if isinstance(message, dict) and any(signal in message for signal in _OTHER_SIGNALS):
            raise OtherSignalError("metrics or logs")
        raise LineError('no OTLP JSON: an object with "resourceSpans" is expected')
    try:
        for resource_spans in message["resourceSpans"]:
            service = str(_attributes(resource_spans.get("resource", {})).get("service.name", "unknown"))
            for scope_spans in resource_spans.get("scopeSpans", ()):
                for span in scope_spans.get("spans", ()):
                    yield _span(service, span)
    except KeyError as error:
        raise LineError(f"a span without {error}") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise LineError(f"no OTLP JSON: {error}") from None


def _span(service: str, raw: Mapping[str, Any]) -> Span:
    status = raw.get("status") or {}
    return Span(
        trace_id=raw["traceId"].lower(),
        span_id=raw["spanId"].lower(),
        parent_id=raw.get("parentSpanId", "").lower(),
        service=service,
        name=raw["name"],
        kind=raw.get("kind", 0),
        start_ns=int(raw["startTimeUnixNano"]),
        end_ns=int(raw["endTimeUnixNano"]),
        attributes=_attributes(raw),
        events=tuple(
            Event(event["name"], int(event["timeUnixNano"]), _attributes(event)) for event in raw.get("events", ())
        ),
        failed=status.get("code") == _ERROR,
        message=status.get("message", ""),
    )


def _attributes(owner: Mapping[str, Any]) -> dict[str, Value]:
    return {attribute["key"]: _value(attribute.get("value") or {}) for attribute in owner.get("attributes", ())}


def _value(value: Mapping[str, Any]) -> Value:
    for kind, content in value.items():
        if kind == "intValue":
            return int(content)
        if kind == "doubleValue":  # NaN and the infinities are texts
            return float(content)
        if kind == "arrayValue":
            return [_value(item) for item in content.get("values", ())]
        if kind == "boolValue":
            return bool(content)
        return str(content)
    return ""
