"""OTLP's JSON encoding of spans (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding).

Keys in lowerCamelCase, ids in lower-case hexadecimal, enums as numbers, 64-bit integers as strings. Put together by
hand: a call has four spans with some sixty values. `json` takes five times as long, and most of the values are the same
in every call.
"""

from __future__ import annotations

import json.encoder
import math
from collections.abc import Mapping, Sequence
from typing import Any

from proxy.telemetry import names
from proxy.telemetry.span_record import SERVER, Event, Known, Origin, SpanRecord

_quoted = json.encoder.encode_basestring_ascii
"""A text as JSON."""
HAS_IS_REMOTE, IS_REMOTE = 0x100, 0x200
"""A span's flags above W3C's eight bits: whether its parent is another process's is known, and is so."""
_ERROR = 2
KNOWN_LIMIT = 1024
"""Combinations of method, class, addresses and status that are kept encoded; clients and their ports come and go."""


class OtlpJson:
    """Encodes the spans of one process."""

    def __init__(self, origin: Origin) -> None:
        name, version = _quoted(origin.scope.name), _quoted(origin.scope.version or "")
        self._zero_ns = origin.wall_ns_at_zero
        self._head = (
            f'{{"resourceSpans":[{{"resource":{{"attributes":{_attributes(origin.resource.attributes)}}},'
            f'"scopeSpans":[{{"scope":{{"name":{name},"version":{version}}},"spans":['
        )
        self._known: dict[Known, tuple[str, str]] = {}

    def __repr__(self) -> str:
        return f"<OtlpJson {len(self._known)} known>"

    def line(self, spans: Sequence[SpanRecord]) -> bytes:
        """One `TracesData` message with these spans, and a line feed."""
        return f"{self._head}{','.join([self._span(span) for span in spans])}]}}]}}]}}\n".encode()

    def _span(self, span: SpanRecord) -> str:
        known, numbers, attributes, events, message = span.told()
        name, listed = self._known.get(known) or self._learn(known)
        zero_ns = self._zero_ns
        told = [listed]
        told += [f"{_number(key)}{value:.3f}}}}}" for key, value in numbers]
        told += [f'{{"key":{_quoted(key)},"value":{_value(value)}}}' for key, value in attributes.items()]
        happened = ""
        if events:
            happened = f',"events":[{",".join([self._event(event) for event in events])}]'
        status = f',"message":{_quoted(message)}' if message and known.failed else ""
        context, parent = span.context, span.parent
        flags = context.flags | HAS_IS_REMOTE
        over = ""
        if parent is not None:
            over = f',"parentSpanId":"{parent.span_id}"'
            if span.kind == SERVER:
                flags |= IS_REMOTE
        state = f',"traceState":{_quoted(context.state)}' if context.state else ""
        return (
            f'{{"traceId":"{context.trace_id}","spanId":"{context.span_id}","flags":{flags},{name},'
            f'"startTimeUnixNano":"{zero_ns + round(span.started_at * 1e9)}",'
            f'"endTimeUnixNano":"{zero_ns + round(span.ended_at * 1e9)}",'
            f'"attributes":[{",".join(told)}],'
            f'"status":{{"code":{_ERROR if known.failed else 0}{status}}}{over}{state}{happened}}}'
        )

    def _learn(self, known: Known) -> tuple[str, str]:
        """Name and kind, and the attributes without their brackets."""
        if len(self._known) >= KNOWN_LIMIT:
            self._known.clear()
        name = f'"name":{_quoted(known.method)},"kind":{known.kind}'
        found = self._known[known] = name, _attributes(known.attributes())[1:-1]
        return found

    def _event(self, event: Event) -> str:
        name, at, slack_ms, attributes = event
        if slack_ms is not None:
            listed = f"[{_SLACK}{slack_ms:.3f}}}}}]"
        elif attributes is None:
            listed = "[]"
        else:
            listed = _attributes(attributes() if callable(attributes) else attributes)
        at_ns = self._zero_ns + round(at * 1e9)
        return f'{{"timeUnixNano":"{at_ns}","name":{_quoted(name)},"attributes":{listed}}}'


def _number(name: str) -> str:
    """The beginning of an attribute that is a number, up to its digits."""
    found = _NUMBERS.get(name)
    if found is None:
        found = _NUMBERS[name] = f'{{"key":{_quoted(name)},"value":{{"doubleValue":'
    return found


_NUMBERS: dict[str, str] = {}
_SLACK = _number(names.SLACK)


def _attributes(attributes: Mapping[str, Any]) -> str:
    each = [f'{{"key":{_quoted(key)},"value":{_value(value)}}}' for key, value in attributes.items()]
    return f"[{','.join(each)}]"


def _value(value: Any) -> str:
    if isinstance(value, str):
        return f'{{"stringValue":{_quoted(value)}}}'
    if isinstance(value, bool):
        return f'{{"boolValue":{"true" if value else "false"}}}'
    if isinstance(value, int):
        return f'{{"intValue":"{value}"}}'
    if isinstance(value, float):
        return f'{{"doubleValue":{float.__repr__(value) if math.isfinite(value) else _quoted(_unusual(value))}}}'
    if isinstance(value, (list, tuple)):
        return f'{{"arrayValue":{{"values":[{",".join([_value(one) for one in value])}]}}}}'
    return f'{{"stringValue":{_quoted(str(value))}}}'


def _unusual(value: float) -> str:
    """JSON has no numbers for these; protobuf's JSON mapping writes them so."""
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
