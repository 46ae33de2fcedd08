import gzip
import queue
import threading
from collections.abc import Iterator
from concurrent import futures
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)

from proxy.errors import Code
from proxy.telemetry.exporters import open_tracing
from proxy.telemetry.tracing import NO_TRACING, Tracing, TracingSettings
from proxy.tunnel.exchange import CallHead, CallStatus

Received = queue.Queue[ExportTraceServiceRequest]


class Receiver(TraceServiceServicer):
    def __init__(self) -> None:
        self.received: Received = queue.Queue()

    def Export(  # noqa: N802 -- the service's name for it
        self, request: ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> ExportTraceServiceResponse:
        self.received.put(request)
        return ExportTraceServiceResponse()


@pytest.fixture
def grpc_collector() -> Iterator[tuple[int, Received]]:
    receiver = Receiver()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    add_TraceServiceServicer_to_server(receiver, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port, receiver.received
    server.stop(None).wait(5)


@pytest.fixture
def http_collector() -> Iterator[tuple[int, Received]]:
    received: Received = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            if self.path == "/v1/traces" and self.headers["content-type"] == "application/x-protobuf":
                received.put(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
            else:
                self.send_response(404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- http.server's name for it
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_port, received
    server.shutdown()
    thread.join(5)
    server.server_close()


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


def test_a_collector_over_grpc(grpc_collector: tuple[int, Received]) -> None:
    port, received = grpc_collector
    settings = TracingSettings("headway-proxy", otlp_endpoint=f"http://127.0.0.1:{port}", traces_file="not-this.jsonl")
    check(received, record(open_tracing(settings, environ={})))


def test_a_collector_over_http_by_its_path(http_collector: tuple[int, Received]) -> None:
    port, received = http_collector
    settings = TracingSettings("headway-proxy", otlp_endpoint=f"http://127.0.0.1:{port}/v1/traces")
    check(received, record(open_tracing(settings, environ={})))


@pytest.mark.parametrize(
    ("variable", "path"),
    [("OTEL_EXPORTER_OTLP_ENDPOINT", ""), ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "/v1/traces")],
)
def test_the_environments_collector_wins(http_collector: tuple[int, Received], variable: str, path: str) -> None:
    port, received = http_collector
    environ = {variable: f"http://127.0.0.1:{port}{path}", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
    settings = TracingSettings("headway-proxy", otlp_endpoint="http://127.0.0.1:9", traces_file="not-this.jsonl")
    check(received, record(open_tracing(settings, environ=environ)))


def test_the_environments_collector_over_grpc(grpc_collector: tuple[int, Received]) -> None:
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
    assert caplog.messages == [
        "OTEL_TRACES_EXPORTER=zipkin is ignored: otlp and none are known",
        "OTEL_BSP_MAX_QUEUE_SIZE=many is ignored: it must be a number from 1",
        "OTEL_BSP_SCHEDULE_DELAY=-1 is ignored: it must be a number from 1",
    ]


def test_a_collector_that_is_away_delays_neither_calls_nor_the_end() -> None:
    settings = TracingSettings("headway-proxy", otlp_endpoint="http://127.0.0.1:9")
    tracing = open_tracing(settings, environ={"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_BSP_MAX_QUEUE_SIZE": "10"})
    for _ in range(1000):
        tracing.server_span(CallHead("/pkg.Service/Method")).finish(CallStatus(Code.OK))
    tracing.close(timeout_s=0.1)
    lost = tracing.statistics()
    assert lost.exported == 0
    assert lost.waiting == 0
    # All but the batch that the exporter still tries to send.
    assert 990 <= lost.dropped + lost.failed <= 1000
