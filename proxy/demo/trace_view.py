"""One trace out of a file of OTLP JSON lines, as an indented list of its spans."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.telemetry import names

_CLIENT = 3
"""OTLP's number for that kind of span."""


@dataclass(frozen=True, slots=True)
class ViewedSpan:
    """What is shown of a span."""

    span_id: str
    parent_id: str
    service: str
    name: str
    client: bool
    """Whether its service was the one that called."""
    start_ns: int
    end_ns: int
    attributes: Mapping[str, str]


def read_spans(file: Path, trace_id: str, *, offset: int = 0) -> list[ViewedSpan]:
    """The spans of one trace, oldest first. Reading starts at `offset` bytes; incomplete lines are skipped."""
    spans: list[ViewedSpan] = []
    with file.open("rb") as lines:
        lines.seek(offset)
        for line in lines:
            # Triton writes ids in capitals.
            if trace_id.encode() in line.lower():
                spans += [span for found, span in _spans(line) if found == trace_id]
    return sorted(spans, key=lambda span: (span.start_ns, -span.end_ns))


def describe(spans: list[ViewedSpan]) -> list[str]:
    """A line for each span, children below parents: when it began after the first, how long it took, whose it is."""
    if not spans:
        return []
    known = {span.span_id for span in spans}
    first_ns = min(span.start_ns for span in spans)
    lines: list[str] = []

    def add(span: ViewedSpan, depth: int) -> None:
        start_ms, took_ms = (span.start_ns - first_ns) / 1e6, (span.end_ns - span.start_ns) / 1e6
        direction = " →" if span.client else ":"
        label = f"{'  ' * depth}{span.service}{direction} {span.name.rpartition('.')[2]}"
        lines.append(f"{start_ms:8.1f} ms {took_ms:8.1f} ms  {label}{_notes(span)}")
        for child in spans:
            if child.parent_id == span.span_id and child is not span:
                add(child, depth + 1)

    for span in spans:
        if span.parent_id not in known:
            add(span, 0)
    return lines


def _notes(span: ViewedSpan) -> str:
    shown = {"model": names.MODEL, "policy": names.POLICY, "slack ms": names.SLACK}
    notes = [f"{label} {span.attributes[name]}" for label, name in shown.items() if name in span.attributes]
    return f"  ({', '.join(notes)})" if notes else ""


def _spans(line: bytes) -> Iterator[tuple[str, ViewedSpan]]:
    try:
        message = json.loads(line)
    except ValueError:
        return
    for resource_spans in message.get("resourceSpans", []):
        service = _attributes(resource_spans.get("resource", {})).get("service.name", "?")
        for scope_spans in resource_spans.get("scopeSpans", []):
            for span in scope_spans.get("spans", []):
                yield (
                    span["traceId"].lower(),
                    ViewedSpan(
                        span_id=span["spanId"].lower(),
                        parent_id=span.get("parentSpanId", "").lower(),
                        service=service,
                        name=span["name"],
                        client=span.get("kind") == _CLIENT,
                        start_ns=int(span["startTimeUnixNano"]),
                        end_ns=int(span["endTimeUnixNano"]),
                        attributes=_attributes(span),
                    ),
                )


def _attributes(owner: Mapping[str, Any]) -> dict[str, str]:
    return {one["key"]: str(next(iter(one["value"].values()), "")) for one in owner.get("attributes", [])}
