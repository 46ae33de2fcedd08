"""Spans as OpenTelemetry records them, made once, when they end.

The SDK's own span costs 15 µs with the attributes that a call has; keeping them in a dictionary and building the SDK's
record at the end costs 3 (2 cores, Python 3.11). Sampler, resource and ids are the SDK's, so `OTEL_TRACES_SAMPLER`,
`OTEL_TRACES_SAMPLER_ARG`, `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` mean what they always mean.

A call that the sampler decides against is recorded all the same, as far as that takes dictionaries only, and exported
if its SERVER span ends with `headway.deadline.missed_at`: its children wait for that. Each process decides by what it
knows itself. Samplers that are always off stay off, and the caller's "not sampled" goes on to the callee, so that
Triton records nothing of such a call.

Which statuses are errors follows OpenTelemetry's conventions for gRPC: every one but OK to the caller, six of them to
the server.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from urllib.parse import unquote

from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from policies.traffic import Deadline
from proxy.clock import Clock
from proxy.errors import Code
from proxy.telemetry import names
from proxy.telemetry.propagation import extract, inject
from proxy.telemetry.span_queue import SpanQueue
from proxy.telemetry.tracing import CLOSE_TIMEOUT_S, CallSpan, SpanStatistics, Value
from proxy.tunnel.exchange import CallHead, CallStatus, Metadata

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

EVENT_LIMIT = 128
"""Events a span keeps; the SDK's default."""
TEXT_LIMIT = 256
"""Characters kept of texts that peers choose: class names, status messages."""

TIMER_SLOP_S = 0.005
"""A call that is cancelled at its gRPC deadline, or this much before it, was ended by the deadline: whoever serves it
sees the same cancellation either way. gRPC rounds what is left to milliseconds and ends a call on its own clock."""

_ALWAYS_OFF = re.compile(r"AlwaysOffSampler|ParentBased\{root:AlwaysOffSampler")
"""Descriptions of samplers that mean that nothing is to be recorded."""

_INHERITED = (names.RPC_SYSTEM, names.RPC_METHOD, names.TRAFFIC_CLASS, names.DEADLINE)
"""What a CLIENT span has from the SERVER span that it belongs to."""

_CODE_NAMES = {int(code): code.name for code in Code}
_UNSET = Status(StatusCode.UNSET)
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_NOT_SAMPLED = TraceFlags(TraceFlags.DEFAULT)


class RecordingTracing:
    """Makes spans and queues them for export.

    `wall_ns_at_zero` is what the wall clock read (nanoseconds since 1970) when `clock` was at 0. Monotonic times become
    wall times by it alone, so that a span's parts add up even when the wall clock jumps.
    """

    def __init__(
        self, *, service_name: str, version: str, clock: Clock, wall_ns_at_zero: int, queue: SpanQueue
    ) -> None:
        resource = Resource.create({SERVICE_NAME: service_name, SERVICE_VERSION: version})
        # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win; `create` lets them lose.
        provider = TracerProvider(resource=resource.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
        self.clock = clock
        self.resource = provider.resource
        self.scope = InstrumentationScope(names.SCOPE, version)
        self.queue = queue
        self._sampler = provider.sampler
        self._keeps_missed = not _ALWAYS_OFF.match(provider.sampler.get_description())
        self._ids = provider.id_generator
        self._wall_ns_at_zero = wall_ns_at_zero

    def __repr__(self) -> str:
        return f"<RecordingTracing {self.resource.attributes.get(SERVICE_NAME)} {self.queue!r}>"

    def server_span(self, head: CallHead, *, address: str = "") -> CallSpan:
        """Begin a SERVER span at `head.accepted_at`."""
        name = head.path.lstrip("/")
        parent = extract(head.metadata)
        trace_id = self._ids.generate_trace_id() if parent is None else parent.trace_id
        context = Context() if parent is None else set_span_in_context(NonRecordingSpan(parent), Context())
        attributes: dict[str, Value] = {names.RPC_SYSTEM: "grpc", names.RPC_METHOD: name}
        if head.traffic_class:
            attributes[names.TRAFFIC_CLASS] = head.traffic_class
        sampled = self._sampler.should_sample(context, trace_id, name, SpanKind.SERVER, attributes)
        recorded = bool(sampled.decision.is_sampled())  # type: ignore[no-untyped-call]
        own = SpanContext(
            trace_id,
            self._ids.generate_span_id(),
            is_remote=False,
            trace_flags=_SAMPLED if recorded else _NOT_SAMPLED,
            trace_state=sampled.trace_state,
        )
        if not recorded and not self._keeps_missed:
            return UnsampledSpan(own)
        if sampled.attributes:
            attributes.update(sampled.attributes)
        if head.deadline.target_at != math.inf:
            attributes[names.DEADLINE] = _ms(head.deadline.target_at - head.accepted_at)
        return RecordedSpan(
            self,
            context=own,
            parent=parent,
            kind=SpanKind.SERVER,
            attributes=attributes,
            deadline=head.deadline,
            started_at=head.accepted_at,
            server=address,
            peer=head.peer,
            held=None if recorded else [],
        )

    def child_context(self, parent: SpanContext) -> SpanContext:
        """A new span of the same trace, recorded as its parent is."""
        return SpanContext(
            parent.trace_id,
            self._ids.generate_span_id(),
            is_remote=False,
            trace_flags=parent.trace_flags,
            trace_state=parent.trace_state,
        )

    def wall_ns(self, at: float) -> int:
        """A monotonic time in seconds as nanoseconds since 1970."""
        return self._wall_ns_at_zero + round(at * 1e9)

    def statistics(self) -> SpanStatistics:
        """Counts since the start."""
        return self.queue.statistics()

    def close(self, *, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Write what is left, for `timeout_s` at most. Blocks."""
        self.queue.close(timeout_s=timeout_s)


class RecordedSpan:
    """A span that is exported when it ends.

    With `held` only if the call's SERVER span ends with a missed deadline: its other spans wait there for that.
    """

    __slots__ = (
        "_attributes",
        "_context",
        "_deadline",
        "_events",
        "_finished",
        "_held",
        "_inherited",
        "_kind",
        "_parent",
        "_peer",
        "_server",
        "_started_at",
        "_tracing",
    )

    def __init__(
        self,
        tracing: RecordingTracing,
        *,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        attributes: dict[str, Value],
        inherited: dict[str, Value] | None = None,
        deadline: Deadline,
        started_at: float,
        server: str,
        peer: str,
        held: list[Callable[[], None]] | None,
    ) -> None:
        self._tracing = tracing
        self._context = context
        self._parent = parent
        self._kind = kind
        self._attributes = attributes
        self._inherited = inherited
        self._deadline = deadline
        self._started_at = started_at
        self._server = server
        self._peer = peer
        self._held = held
        self._events: list[tuple[str, float, Mapping[str, Value] | None]] = []
        self._finished = False

    def __repr__(self) -> str:
        state = "finished" if self._finished else "open"
        known = self._attributes if self._inherited is None else self._inherited
        return f"<RecordedSpan {self._kind.name} {known[names.RPC_METHOD]} {self.trace_id} {state}>"

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return f"{self._context.trace_id:032x}"

    @property
    def recording(self) -> bool:
        """Until it is finished, of a call that is sampled."""
        return self._held is None and not self._finished

    def child(self, *, address: str = "", at: float | None = None) -> CallSpan:
        """Begin a CLIENT span."""
        return RecordedSpan(
            self._tracing,
            context=self._tracing.child_context(self._context),
            parent=self._context,
            kind=SpanKind.CLIENT,
            attributes={},
            inherited=self._attributes if self._inherited is None else self._inherited,
            deadline=self._deadline,
            started_at=self._tracing.clock.now() if at is None else at,
            server=address,
            peer="",
            held=self._held,
        )

    def address(self, address: str) -> None:
        """Note who is called."""
        self._server = address

    def set(self, name: str, value: Value) -> None:
        """Note an attribute."""
        self._attributes[name] = value[:TEXT_LIMIT] if isinstance(value, str) else value

    def event(self, name: str, *, at: float | None = None, attributes: Mapping[str, Value] | None = None) -> None:
        """Note that something happened. Past `EVENT_LIMIT` events, nothing."""
        if len(self._events) < EVENT_LIMIT:
            self._events.append((name, self._tracing.clock.now() if at is None else at, attributes))

    def inject(self, metadata: Metadata) -> Metadata:
        """The metadata with this span in `traceparent`."""
        return inject(metadata, self._context)

    def finish(self, status: CallStatus, *, at: float | None = None) -> None:
        """End the span and queue it, or see whether it is worth that."""
        if self._finished:
            return
        self._finished = True
        ended_at = self._tracing.clock.now() if at is None else at
        held = self._held
        if held is None:
            self._queue(status, ended_at)
        elif self._kind is not SpanKind.SERVER:
            held.append(partial(self._queue, status, ended_at))
        else:
            if names.MISSED_AT in self._attributes:
                for queue in held:
                    queue()
                self._queue(status, ended_at)
            held.clear()  # the spans in it know it, too: a cycle that would wait for the garbage collector

    def _queue(self, status: CallStatus, ended_at: float) -> None:
        tracing = self._tracing
        if self._inherited is not None:
            own, known = self._attributes, self._inherited
            self._attributes = {name: known[name] for name in _INHERITED if name in known}
            self._attributes.update(own)
        attributes = self._attributes
        self._note_addresses()
        if self._deadline.target_at != math.inf:
            attributes[names.START_SLACK] = _ms(self._deadline.slack_s(now=self._started_at))
            attributes.setdefault(names.SLACK, _ms(self._deadline.slack_s(now=ended_at)))
        code, message = status.code, status.message
        if code == Code.CANCELLED and ended_at >= self._deadline.limit_at - TIMER_SLOP_S:
            code, message = Code.DEADLINE_EXCEEDED, "the gRPC deadline passed"
        code_name = _CODE_NAMES.get(code, str(code))
        attributes[names.RPC_STATUS_CODE] = code_name
        outcome = _UNSET
        if code != Code.OK and (self._kind is SpanKind.CLIENT or code in SERVER_ERRORS):
            attributes[names.ERROR_TYPE] = code_name
            outcome = Status(StatusCode.ERROR, message[:TEXT_LIMIT] or None)
        tracing.queue.put(
            ReadableSpan(
                name=str(attributes[names.RPC_METHOD]),
                context=self._context,
                parent=self._parent,
                resource=tracing.resource,
                attributes=attributes,
                events=[Event(name, attributes, tracing.wall_ns(at)) for name, at, attributes in self._events],
                kind=self._kind,
                status=outcome,
                start_time=tracing.wall_ns(self._started_at),
                end_time=tracing.wall_ns(ended_at),
                instrumentation_scope=tracing.scope,
            )
        )

    def _note_addresses(self) -> None:
        host, port = split_address(self._server)
        if host:
            self._attributes[names.SERVER_ADDRESS] = host
        if port:
            self._attributes[names.SERVER_PORT] = port
        host, port = split_address(self._peer)
        if host:
            self._attributes[names.PEER_ADDRESS] = host
        if port:
            self._attributes[names.PEER_PORT] = port


class UnsampledSpan:
    """A span of a sampler that is always off: nothing is recorded, and the callee is told so in `traceparent`."""

    __slots__ = ("_context",)

    def __init__(self, context: SpanContext) -> None:
        self._context = context

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return f"{self._context.trace_id:032x}"

    @property
    def recording(self) -> bool:
        """Never."""
        return False

    def child(self, *, address: str = "", at: float | None = None) -> CallSpan:
        """This one again."""
        return self

    def address(self, address: str) -> None:
        """Nothing."""

    def set(self, name: str, value: Value) -> None:
        """Nothing."""

    def event(self, name: str, *, at: float | None = None, attributes: Mapping[str, Value] | None = None) -> None:
        """Nothing."""

    def inject(self, metadata: Metadata) -> Metadata:
        """The metadata with a `traceparent` that isn't sampled."""
        return inject(metadata, self._context)

    def finish(self, status: CallStatus, *, at: float | None = None) -> None:
        """Nothing."""


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


def _ms(seconds: float) -> float:
    return round(seconds * 1000.0, 3)
