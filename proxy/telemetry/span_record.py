"""A finished span as the event loop leaves it, and what it comes to: names, attributes, events and status.

A call only notes what it has at hand. All that takes work, texts and arithmetic, is done here by whoever exports the
span, in a thread of its own, and not at all for spans that nobody keeps.

Which statuses are errors follows OpenTelemetry's conventions for gRPC: every one but OK to the caller, six of them to
the server.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from policies.traffic import Deadline
from proxy.errors import Code
from proxy.telemetry import names
from proxy.telemetry.propagation import TraceContext
from proxy.telemetry.stages import StageReport
from proxy.telemetry.tracing import EventAttributes, Value
from proxy.tunnel.exchange import CallStatus

SERVER_ERRORS = frozenset(
    {
        Code.UNKNOWN,
        Code.DEADLINE_EXCEEDED,
        Code.UNIMPLEMENTED,
        Code.INTERNAL,
        Code.UNAVAILABLE,
        Code.DATA_LOSS,
    }
)
"""Statuses that make a SERVER span an error; the others are the caller's affair."""

TEXT_LIMIT = 256
"""Characters kept of texts that peers choose: class names, status messages."""

TIMER_SLOP_S = 0.005
"""A call that is cancelled at its gRPC deadline, or this much before it, was ended by the deadline: whoever serves it
sees the same cancellation either way. gRPC rounds what is left to milliseconds and ends a call on its own clock."""

SERVER, CLIENT = 2, 3
"""Kinds of span, by OTLP's numbers."""

_CODE_NAMES = {int(code): code.name for code in Code}


@dataclass(frozen=True, slots=True)
class Origin:
    """What all spans of a process have in common."""

    resource: Resource
    scope: InstrumentationScope
    wall_ns_at_zero: int
    """What the wall clock read, nanoseconds since 1970, when the monotonic clock was at 0. Monotonic times become wall
    times by it alone, so that a span's parts add up even when the wall clock jumps."""

    def wall_ns(self, at: float) -> int:
        """A monotonic time in seconds as nanoseconds since 1970."""
        return self.wall_ns_at_zero + round(at * 1e9)


class Event(NamedTuple):
    """Something that happened during a span."""

    name: str
    at: float
    slack_ms: float | None = None
    """What was left of the deadline; None for an event that does not tell it."""
    attributes: EventAttributes = None


class Known(NamedTuple):
    """Attributes of a span that are texts or whole numbers and the same for very many calls."""

    kind: int
    method: str
    traffic_class: str
    server: str
    peer: str
    status: str
    failed: bool

    def attributes(self) -> dict[str, Value]:
        """Spelled out."""
        told: dict[str, Value] = {names.RPC_SYSTEM: "grpc", names.RPC_METHOD: self.method}
        if self.traffic_class:
            told[names.TRAFFIC_CLASS] = self.traffic_class
        host, port = split_address(self.server)
        if host:
            told[names.SERVER_ADDRESS] = host
        if port:
            told[names.SERVER_PORT] = port
        host, port = split_address(self.peer)
        if host:
            told[names.PEER_ADDRESS] = host
        if port:
            told[names.PEER_PORT] = port
        told[names.RPC_STATUS_CODE] = self.status
        if self.failed:
            told[names.ERROR_TYPE] = self.status
        return told


class Told(NamedTuple):
    """What a span comes to."""

    known: Known
    numbers: list[tuple[str, float]]
    """Attributes in milliseconds, to be told to the microsecond."""
    attributes: Mapping[str, Value]
    """All others."""
    events: list[Event]
    message: str
    """Of the status."""


class ServedCall(NamedTuple):
    """What all spans of a call in one process have from its head."""

    method: str
    """Service and method; the spans' name, too."""
    traffic_class: str
    deadline: Deadline
    accepted_at: float
    peer: str


class SpanRecord:
    """One span. Times are monotonic, in seconds."""

    __slots__ = (
        "attributes",
        "call",
        "context",
        "ended_at",
        "events",
        "kind",
        "parent",
        "report",
        "server",
        "started_at",
        "status",
    )

    def __init__(
        self,
        context: TraceContext,
        parent: TraceContext | None,
        kind: int,
        call: ServedCall,
        started_at: float,
        server: str,
    ) -> None:
        self.context = context
        self.parent = parent
        """A SERVER span's is another process's."""
        self.kind = kind
        self.call = call
        self.started_at = started_at
        self.server = server
        """Who serves the call, `host:port`."""
        self.attributes: dict[str, Value] = {}
        self.events: list[Event] = []
        self.report: StageReport | None = None
        self.status: CallStatus | None = None
        """None until the span has ended."""
        self.ended_at = 0.0

    def told(self) -> Told:
        """Work out what the span, which has ended, comes to."""
        call, events = self.call, self.events
        numbers: list[tuple[str, float]] = []
        target_at = call.deadline.target_at
        if target_at != math.inf:
            numbers.append((names.DEADLINE, (target_at - call.accepted_at) * 1000.0))
            numbers.append((names.START_SLACK, (target_at - self.started_at) * 1000.0))
            if names.SLACK not in self.attributes:
                numbers.append((names.SLACK, (target_at - self.ended_at) * 1000.0))
        if self.report is not None:
            stages = self.report.known()
            numbers += self.report.durations(stages)
            events = events + [Event(name, at, left) for name, at, left in self.report.ends(stages)]
        code, message = (0, "") if self.status is None else (self.status.code, self.status.message)
        if code == Code.CANCELLED and self.ended_at >= call.deadline.limit_at - TIMER_SLOP_S:
            code, message = int(Code.DEADLINE_EXCEEDED), "the gRPC deadline passed"
        failed = code != 0 and (self.kind == CLIENT or code in SERVER_ERRORS)
        known = Known(
            self.kind,
            call.method,
            call.traffic_class,
            self.server,
            call.peer if self.kind == SERVER else "",
            _CODE_NAMES.get(code) or str(code),
            failed,
        )
        return Told(known, numbers, self.attributes, events, message[:TEXT_LIMIT])


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `host:port`, `[v6]:port` or one of gRPC's peer names (`ipv4:…`, `ipv6:%5B…%5D:…`, `unix:path`).

    Port 0 where there is none.
    """
    if address.startswith(("ipv4:", "ipv6:")):
        address = unquote(address[5:])
    elif address.startswith("unix:"):
        return address[5:], 0
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal() and (":" not in host or host.startswith("[")):
        return host.strip("[]"), int(port)
    return address.strip("[]"), 0
