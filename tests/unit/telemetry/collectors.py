"""Collectors that take OTLP over gRPC and over HTTP, by the stock generated service, and some that do not."""

from __future__ import annotations

import contextlib
import gzip
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import NamedTuple

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from proxy.tracefile.spans import Span, Value

Received = queue.Queue[ExportTraceServiceRequest]


class Collector(NamedTuple):
    """One that listens."""

    port: int
    received: Received


class _Receiver(TraceServiceServicer):
    def __init__(self) -> None:
        self.received: Received = queue.Queue()

    def Export(  # noqa: N802 -- the service's name for it
        self, request: ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> ExportTraceServiceResponse:
        self.received.put(request)
        return ExportTraceServiceResponse()


@contextlib.contextmanager
def grpc_collector() -> Iterator[Collector]:
    """OTLP over gRPC."""
    receiver = _Receiver()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    add_TraceServiceServicer_to_server(receiver, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield Collector(port, receiver.received)
    finally:
        server.stop(None).wait(5)


@contextlib.contextmanager
def http_collector() -> Iterator[Collector]:
    """OTLP over HTTP, as protobuf."""
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
    try:
        yield Collector(server.server_port, received)
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()


@contextlib.contextmanager
def hung_collector() -> Iterator[int]:
    """The port of one that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield int(listening.getsockname()[1])


COLLECTORS: dict[str, Callable[[], AbstractContextManager[Collector]]] = {
    "grpc": grpc_collector,
    "http/protobuf": http_collector,
}
"""By the values of OTEL_EXPORTER_OTLP_PROTOCOL."""


def spans_of(request: ExportTraceServiceRequest) -> Iterator[Span]:
    """What a request brings, as `headway trace` reads it from a file."""
    for resource_spans in request.resource_spans:
        resource = {one.key: _value(one.value) for one in resource_spans.resource.attributes}
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield Span(
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    service=str(resource["service.name"]),
                    name=span.name,
                    kind=span.kind,
                    start_ns=span.start_time_unix_nano,
                    end_ns=span.end_time_unix_nano,
                    attributes={one.key: _value(one.value) for one in span.attributes},
                )


def _value(value: AnyValue) -> Value:
    found: Value = getattr(value, value.WhichOneof("value") or "string_value")
    return found
