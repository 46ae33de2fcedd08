import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from policies.traffic import Deadline
from proxy.errors import Code
from proxy.telemetry.propagation import TraceContext
from proxy.telemetry.sdk import SdkSink, origin_of, provider_of
from proxy.telemetry.span_record import CLIENT, Event, SpanRecord
from proxy.tunnel.exchange import CallStatus
from tests.unit.telemetry.recorded import TRACE_ID, finished

WALL_NS = 1_700_000_000_000_000_000


def exported(span: SpanRecord) -> ReadableSpan:
    exporter = InMemorySpanExporter()
    sink = SdkSink(exporter, origin_of(provider_of("headway-proxy", "1.2"), "1.2", wall_ns_at_zero=WALL_NS))
    assert sink.export([sink.encode([span])])
    [read] = exporter.get_finished_spans()
    sink.close()
    return read


def test_a_span_as_the_sdk_has_it() -> None:
    span = finished(
        parent=TraceContext(TRACE_ID, "0" * 13 + "abc", 1),
        kind=CLIENT,
        deadline=Deadline(101.0, 105.0),
        status=CallStatus(Code.UNAVAILABLE, "went wrong"),
        state="congo=t61",
    )
    span.events = [Event("dispatch", 100.125, None, {"n": 1}), Event("late", 100.25, -1.5), Event("drop", 100.25)]
    read = exported(span)
    assert (read.name, read.kind) == ("pkg.Service/Method", SpanKind.CLIENT)
    assert f"{read.context.trace_id:032x}" == TRACE_ID
    assert read.context.trace_state.to_header() == "congo=t61"
    assert read.parent is not None
    assert (read.parent.span_id, read.parent.is_remote) == (0xABC, False)
    assert (read.start_time, read.end_time) == (WALL_NS + 100 * 10**9, WALL_NS + 100_250_000_000)
    assert (read.status.status_code, read.status.description) == (StatusCode.ERROR, "went wrong")
    assert (read.attributes or {})["headway.deadline.slack_ms"] == 750.0
    assert read.resource.attributes["service.name"] == "headway-proxy"
    assert read.instrumentation_scope is not None
    assert (read.instrumentation_scope.name, read.instrumentation_scope.version) == ("headway", "1.2")
    assert [(event.name, dict(event.attributes or {})) for event in read.events] == [
        ("dispatch", {"n": 1}),
        ("late", {"headway.deadline.slack_ms": -1.5}),
        ("drop", {}),
    ]


def test_who_calls_a_server_is_another_process() -> None:
    read = exported(finished(parent=TraceContext(TRACE_ID, "1" * 16)))
    assert read.parent is not None
    assert read.parent.is_remote
    assert read.status.status_code is StatusCode.UNSET


def test_the_environment_says_who_a_process_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "edge-7")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=trial")
    resource = provider_of("headway-proxy", "1.2").resource
    assert resource.attributes["service.name"] == "edge-7"
    assert resource.attributes["deployment.environment.name"] == "trial"
    assert resource.attributes["service.version"] == "1.2"
