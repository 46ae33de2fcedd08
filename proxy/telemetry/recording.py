"""Spans as OpenTelemetry has them, kept while a call lasts and queued for export when it ends.

On the event loop a span is one object that notes what it is told; `span_record` has the rest. So a call's four spans
cost it 12 µs until they are encoded, of which 10 are left when it is not sampled; a single one of the SDK's costs 15 (2
cores, Python 3.11). Sampler, resource and ids are the SDK's, so `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG`,
`OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` mean what they always mean.

A call that the sampler decides against is noted all the same, and exported if its SERVER span ends with
`headway.deadline.missed_at`: its children wait for that. Each process decides by what it knows itself. Samplers that
are always off stay off.

The caller's "not sampled" goes on to the callee in `traceparent`, but not to Triton (`withholds_from`): it records
every call that comes with a trace context, whatever its flag and Triton's own rate say, so that such a call goes there
without one, and Triton with `rate=0` records those that are sampled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.sdk.resources import SERVICE_NAME
from opentelemetry.sdk.trace import TracerProvider

from proxy.clock import Clock
from proxy.telemetry import names
from proxy.telemetry.propagation import SAMPLED, TraceContext, extract, inject, withhold
from proxy.telemetry.sampling import Sampling
from proxy.telemetry.span_queue import SpanQueue
from proxy.telemetry.span_record import CLIENT, SERVER, TEXT_LIMIT, Event, ServedCall, SpanRecord
from proxy.telemetry.stages import StageReport
from proxy.telemetry.tracing import CLOSE_TIMEOUT_S, CallSpan, EventAttributes, SpanStatistics, Value
from proxy.tunnel.exchange import CallHead, CallStatus, Metadata

EVENT_LIMIT = 128
"""Events a span keeps; the SDK's default."""


class RecordingTracing:
    """Makes spans and queues them for export. `provider` brings sampler and ids.

    `withholds_from` is explained in `TracingSettings`. Unless it `propagates`, calls begin traces of their own, and
    contexts pass through as any metadata does.
    """

    def __init__(
        self,
        provider: TracerProvider,
        *,
        clock: Clock,
        queue: SpanQueue[Any],
        withholds_from: str = "",
        propagates: bool = True,
    ) -> None:
        self.clock = clock
        self.queue = queue
        self._service_name = provider.resource.attributes.get(SERVICE_NAME)
        self._sampling = Sampling(provider.sampler)
        self._new_trace_id: Callable[[], int] = provider.id_generator.generate_trace_id
        self._new_span_id: Callable[[], int] = provider.id_generator.generate_span_id
        self._withholds_from = withholds_from
        self._propagates = propagates

    def __repr__(self) -> str:
        return f"<RecordingTracing {self._service_name} {self.queue!r}>"

    def server_span(self, head: CallHead, *, address: str = "") -> CallSpan:
        """Begin a SERVER span at `head.accepted_at`."""
        method = head.path.lstrip("/")
        parent = extract(head.metadata) if self._propagates else None
        number = self._new_trace_id() if parent is None else 0
        trace_id = f"{number:032x}" if parent is None else parent.trace_id
        sampled = self._sampling.decide(number, parent, method=method, traffic_class=head.traffic_class)
        flags = SAMPLED if sampled.recorded else 0
        context = TraceContext(trace_id, self.new_span_id(), flags, sampled.state)
        if not sampled.recorded and self._sampling.off:
            return UnsampledSpan(self, context, method)
        call = ServedCall(method, head.traffic_class, head.deadline, head.accepted_at, head.peer)
        span = RecordedSpan(context, parent, SERVER, call, head.accepted_at, address)
        span.tracing = self
        span.held = None if sampled.recorded else []
        if sampled.attributes:
            span.attributes.update(sampled.attributes)
        return span

    def new_span_id(self) -> str:
        """16 hexadecimal digits."""
        return f"{self._new_span_id():016x}"

    def injected(self, metadata: Metadata, context: TraceContext, method: str) -> Metadata:
        """Metadata for the callee."""
        if not self._propagates:
            return metadata
        if self._withholds_from and not context.flags & SAMPLED and method.startswith(self._withholds_from):
            return withhold(metadata)
        return inject(metadata, context)

    def statistics(self) -> SpanStatistics:
        """Counts since the start."""
        return self.queue.statistics()

    def close(self, *, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Write what is left, for `timeout_s` at most. Blocks."""
        self.queue.close(timeout_s=timeout_s)


class RecordedSpan(SpanRecord):
    """A span that is exported when it ends.

    With `held` only if the call's SERVER span ends with a missed deadline: its other spans wait there for that.
    """

    __slots__ = ("held", "tracing")

    tracing: RecordingTracing
    held: list[SpanRecord] | None

    def __repr__(self) -> str:
        state = "open" if self.status is None else "finished"
        kind = "SERVER" if self.kind == SERVER else "CLIENT"
        return f"<RecordedSpan {kind} {self.call.method} {self.trace_id} {state}>"

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return self.context.trace_id

    @property
    def recording(self) -> bool:
        """Until it is finished, of a call that is sampled."""
        return self.held is None and self.status is None

    def child(self, *, address: str = "", at: float | None = None) -> CallSpan:
        """Begin a CLIENT span."""
        tracing, own = self.tracing, self.context
        context = TraceContext(own.trace_id, tracing.new_span_id(), own.flags, own.state)
        started_at = tracing.clock.now() if at is None else at
        span = RecordedSpan(context, own, CLIENT, self.call, started_at, address)
        span.tracing = tracing
        span.held = self.held
        return span

    def address(self, address: str) -> None:
        """Note who is called."""
        self.server = address

    def set(self, name: str, value: Value) -> None:
        """Note an attribute."""
        self.attributes[name] = value[:TEXT_LIMIT] if isinstance(value, str) else value

    def event(self, name: str, *, at: float | None = None, attributes: EventAttributes = None) -> None:
        """Note that something happened. Past `EVENT_LIMIT` events, nothing."""
        if len(self.events) < EVENT_LIMIT:
            self.events.append(Event(name, self.tracing.clock.now() if at is None else at, None, attributes))

    def stages(self, report: StageReport) -> None:
        """Note where the call's time went."""
        self.report = report

    def inject(self, metadata: Metadata) -> Metadata:
        """The metadata with this span in `traceparent`, or without one for who takes no heed of "not sampled"."""
        return self.tracing.injected(metadata, self.context, self.call.method)

    def finish(self, status: CallStatus, *, at: float | None = None) -> None:
        """End the span and queue it, or see whether it is worth that."""
        if self.status is not None:
            return
        self.status = status
        self.ended_at = self.tracing.clock.now() if at is None else at
        held = self.held
        if held is None:
            self.tracing.queue.put(self)
        elif self.kind != SERVER:
            held.append(self)
        else:
            if names.MISSED_AT in self.attributes:
                for span in held:
                    self.tracing.queue.put(span)
                self.tracing.queue.put(self)
            held.clear()  # the spans in it know it, too: a cycle that would wait for the garbage collector


class UnsampledSpan:
    """A span of a sampler that is always off: nothing is recorded, and the callee is told so in `traceparent`."""

    __slots__ = ("_context", "_method", "_tracing")

    def __init__(self, tracing: RecordingTracing, context: TraceContext, method: str) -> None:
        self._tracing = tracing
        self._context = context
        self._method = method

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return self._context.trace_id

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

    def event(self, name: str, *, at: float | None = None, attributes: EventAttributes = None) -> None:
        """Nothing."""

    def stages(self, report: StageReport) -> None:
        """Nothing."""

    def inject(self, metadata: Metadata) -> Metadata:
        """The metadata with a `traceparent` that isn't sampled, or without one, see `RecordedSpan`."""
        return self._tracing.injected(metadata, self._context, self._method)

    def finish(self, status: CallStatus, *, at: float | None = None) -> None:
        """Nothing."""
