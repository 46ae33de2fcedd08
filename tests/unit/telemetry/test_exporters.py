import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.errors import Code
from proxy.telemetry.exporters import open_tracing
from proxy.telemetry.tracing import NO_TRACING, Tracing, TracingSettings
from proxy.tunnel.exchange import CallHead, CallStatus
from tests.unit.telemetry import collectors
from tests.unit.telemetry.collectors import Collector, Received


@pytest.fixture
def grpc_collector() -> Iterator[Collector]:
    with collectors.grpc_collector() as collector:
        yield collector


@pytest.fixture
def http_collector() -> Iterator[Collector]:
    with collectors.http_collector() as collector:
        yield collector


def record(tracing: Tracing) -> str:
    span = tracing.server_span(CallHead("/pkg.Service/Method", traffic_class="bulk"))
    span.finish(CallStatus(Code.OK))
    tracing.close()
    return span.trace_id


def check(received: Received, trace_id: str) -> None:
    request = received.get(timeout=5)
    [resource_spans] = request.resource_spans
    attributes = {one.key: one.value.string_value for one in resource_spans.resource.attributes}
    assert attributes["service.name"] == "headway-proxy"
    [span] = resource_spans.scope_spans[0].spans
    assert span.trace_id.hex() == trace_id
    assert span.name == "pkg.Service/Method"
    assert {one.key: one.value.string_value for one in span.attributes}["headway.class"] == "bulk"


SETTINGS = TracingSettings("headway-proxy")


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What we say; the SDK has its own remarks on a machine that is slow."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("proxy.")]


def test_a_collector_over_grpc(grpc_collector: Collector) -> None:
    port, received = grpc_collector
    settings = TracingSettings("headway-proxy", otlp_endpoint=f"http://127.0.0.1:{port}", traces_file="not-this.jsonl")
    check(received, record(open_tracing(settings, environ={})))


def test_a_collector_over_http_by_its_path(http_collector: Collector) -> None:
    port, received = http_collector
    settings = TracingSettings("headway-proxy", otlp_endpoint=f"http://127.0.0.1:{port}/v1/traces")
    check(received, record(open_tracing(settings, environ={})))


@pytest.mark.parametrize(
    ("variable", "path"),
    [("OTEL_EXPORTER_OTLP_ENDPOINT", ""), ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "/v1/traces")],
)
def test_the_environments_collector_wins(http_collector: Collector, variable: str, path: str) -> None:
    port, received = http_collector
    environ = {variable: f"http://127.0.0.1:{port}{path}", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
    settings = TracingSettings("headway-proxy", otlp_endpoint="http://127.0.0.1:9", traces_file="not-this.jsonl")
    check(received, record(open_tracing(settings, environ=environ)))


def test_the_environments_collector_over_grpc(grpc_collector: Collector) -> None:
    port, received = grpc_collector
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"127.0.0.1:{port}", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"}
    check(received, record(open_tracing(SETTINGS, environ=environ)))


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    trace_id = record(open_tracing(TracingSettings("headway-proxy", traces_file=str(file)), environ={}))
    assert trace_id in file.read_text()


@pytest.mark.parametrize("environ", [{"OTEL_SDK_DISABLED": "True"}, {"OTEL_TRACES_EXPORTER": "none"}])
def test_switched_off(environ: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    assert open_tracing(TracingSettings("headway-proxy", traces_file=str(file)), environ=environ) is NO_TRACING
    assert not file.exists()


def test_nowhere_to_go() -> None:
    assert open_tracing(SETTINGS, environ={}) is NO_TRACING


def test_variables_that_make_no_sense_are_told_and_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    environ = {"OTEL_TRACES_EXPORTER": "zipkin", "OTEL_BSP_MAX_QUEUE_SIZE": "many", "OTEL_BSP_SCHEDULE_DELAY": "-1"}
    file = tmp_path / "traces.jsonl"
    tracing = open_tracing(TracingSettings("headway-proxy", traces_file=str(file)), environ=environ)
    assert record(tracing) in file.read_text()
    assert told(caplog) == [
        "OTEL_TRACES_EXPORTER=zipkin is ignored: otlp and none are known",
        "OTEL_BSP_MAX_QUEUE_SIZE=many is ignored: it must be a number from 1",
        "OTEL_BSP_SCHEDULE_DELAY=-1 is ignored: it must be a number from 1",
    ]


CALLS = 1000


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
@pytest.mark.parametrize("state", ["away", "hung"])
def test_a_collector_that_takes_nothing_delays_neither_calls_nor_the_end(state: str, protocol: str) -> None:
    """Were a call to wait for it at all, a thousand would take longer than the seconds that this may."""
    environ = {"OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_BSP_MAX_QUEUE_SIZE": "10"}
    with collectors.hung_collector() as port:
        endpoint = f"http://127.0.0.1:{port if state == 'hung' else 9}"
        tracing = open_tracing(TracingSettings("headway-proxy", otlp_endpoint=endpoint), environ=environ)
        began_at = time.monotonic()
        for _ in range(CALLS):
            tracing.server_span(CallHead("/pkg.Service/Method")).finish(CallStatus(Code.OK))
        tracing.close(timeout_s=0.1)
        assert time.monotonic() - began_at < 5.0
    lost = tracing.statistics()
    assert (lost.exported, lost.waiting) == (0, 0)
    assert lost.dropped + lost.failed == CALLS
    assert lost.dropped >= CALLS - 20


@pytest.mark.parametrize(("value", "passes"), [("tracecontext,baggage", False), ("none", True)])
def test_propagators(value: str, passes: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = TracingSettings("headway-proxy", traces_file=str(tmp_path / "traces.jsonl"))
    tracing = open_tracing(settings, environ={"OTEL_PROPAGATORS": value})
    metadata = (("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),)
    assert (tracing.server_span(CallHead("/pkg.Service/Method", metadata)).inject(metadata) == metadata) is passes
    tracing.close()
    assert told(caplog) == []


def test_propagators_that_are_not_known_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = TracingSettings("headway-proxy", traces_file=str(tmp_path / "traces.jsonl"))
    tracing = open_tracing(settings, environ={"OTEL_PROPAGATORS": "b3, tracecontext"})
    assert len(tracing.server_span(CallHead("/pkg.Service/Method")).inject(())) == 1
    tracing.close()
    assert told(caplog) == ["OTEL_PROPAGATORS: b3 is ignored: tracecontext, baggage and none are known"]
