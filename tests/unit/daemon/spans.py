"""Tracing that keeps its spans, to see what the daemon tells of a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from proxy.telemetry import names
from proxy.telemetry.stages import StageReport
from proxy.telemetry.tracing import CallSpan, EventAttributes, SpanStatistics, Value
from proxy.tunnel.exchange import CallHead, CallStatus, Metadata


@dataclass
class RecordedSpan:
    server: str = ""
    """Address of who serves the call."""
    name: str = "server"
    attributes: dict[str, Value] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    event_attributes: list[Mapping[str, Value]] = field(default_factory=list)
    """Of each event, in the same order."""
    children: list[RecordedSpan] = field(default_factory=list)
    status: CallStatus | None = None
    trace_id: str = ""
    recording: bool = True

    def child(self, *, address: str = "", at: float | None = None) -> CallSpan:
        span = RecordedSpan(address, f"child of {self.name}")
        self.children.append(span)
        return span

    def address(self, address: str) -> None:
        self.server = address

    def set(self, name: str, value: Value) -> None:
        self.attributes[name] = value

    def event(self, name: str, *, at: float | None = None, attributes: EventAttributes = None) -> None:
        self.events.append(name)
        told = attributes() if callable(attributes) else attributes
        self.event_attributes.append(told or {})

    def stages(self, report: StageReport) -> None:
        known = report.known()
        self.attributes.update(report.durations(known))
        for name, at, left in report.ends(known):
            self.event(name, at=at, attributes=None if left is None else {names.SLACK: left})

    def inject(self, metadata: Metadata) -> Metadata:
        return (*metadata, ("traceparent", self.name))

    def finish(self, status: CallStatus, *, at: float | None = None) -> None:
        self.status = self.status or status


class RecordedTracing:
    def __init__(self) -> None:
        self.spans: list[RecordedSpan] = []

    def server_span(self, head: CallHead, *, address: str = "") -> CallSpan:
        span = RecordedSpan(address)
        self.spans.append(span)
        return span

    def statistics(self) -> SpanStatistics:
        return SpanStatistics()

    def close(self, *, timeout_s: float = 0.0) -> None:
        pass
