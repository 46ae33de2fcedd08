"""OpenTelemetry's SDK at the ends of our tracing: what a process is by its environment, and exporters to collectors."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from proxy.telemetry import names
from proxy.telemetry import span_record as record
from proxy.telemetry.sampling import to_sdk
from proxy.telemetry.span_record import Origin, SpanRecord
from proxy.telemetry.tracing import Value

_KINDS = {record.SERVER: trace.SpanKind.SERVER, record.CLIENT: trace.SpanKind.CLIENT}
_UNSET = trace.Status(trace.StatusCode.UNSET)


def provider_of(service_name: str, version: str) -> TracerProvider:
    """Resource, sampler and ids of a process, as the environment has them (`OTEL_*`)."""
    resource = Resource.create({SERVICE_NAME: service_name, SERVICE_VERSION: version})
    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win; `create` lets them lose.
    return TracerProvider(resource=resource.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)


def origin_of(provider: TracerProvider, version: str, *, wall_ns_at_zero: int) -> Origin:
    """What the spans of the process have in common."""
    return Origin(provider.resource, InstrumentationScope(names.SCOPE, version), wall_ns_at_zero)


class SdkSink:
    """A `SpanSink` that hands spans to one of the SDK's exporters, as the SDK has them."""

    def __init__(self, exporter: SpanExporter, origin: Origin) -> None:
        self._exporter = exporter
        self._origin = origin

    def __repr__(self) -> str:
        return f"<SdkSink {type(self._exporter).__name__}>"

    def encode(self, spans: Sequence[SpanRecord]) -> Sequence[SpanRecord]:
        """See the port. What the SDK makes of a span costs three times as much as a line of text."""
        return spans

    def export(self, blocks: Sequence[Sequence[SpanRecord]]) -> bool:
        """See the port."""
        readable = [readable_span(span, self._origin) for spans in blocks for span in spans]
        return self._exporter.export(readable) is SpanExportResult.SUCCESS

    def close(self) -> None:
        """See the port."""
        self._exporter.shutdown()


def readable_span(span: SpanRecord, origin: Origin) -> ReadableSpan:
    """A finished span as the SDK has it."""
    told = span.told()
    attributes: dict[str, Value] = told.known.attributes()
    for name, value in told.numbers:
        attributes[name] = round(value, 3)
    attributes.update(told.attributes)
    status = trace.Status(trace.StatusCode.ERROR, told.message or None) if told.known.failed else _UNSET
    return ReadableSpan(
        name=told.known.method,
        context=to_sdk(span.context, is_remote=False),
        parent=None if span.parent is None else to_sdk(span.parent, is_remote=span.kind == record.SERVER),
        resource=origin.resource,
        attributes=attributes,
        events=[_event(event, origin) for event in told.events],
        kind=_KINDS[span.kind],
        status=status,
        start_time=origin.wall_ns(span.started_at),
        end_time=origin.wall_ns(span.ended_at),
        instrumentation_scope=origin.scope,
    )


def _event(event: record.Event, origin: Origin) -> Event:
    attributes = event.attributes() if callable(event.attributes) else event.attributes
    if event.slack_ms is not None:
        attributes = {names.SLACK: round(event.slack_ms, 3)}
    return Event(event.name, attributes, origin.wall_ns(event.at))
