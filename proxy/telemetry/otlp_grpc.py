"""Spans to a collector over gRPC: the SDK's exporter with its settings and its retries, and our encoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import SpanExportResult

from proxy.telemetry.otlp_protobuf import OtlpProtobuf
from proxy.telemetry.span_record import Origin, SpanRecord


class _BlockExporter(OTLPSpanExporter):
    """Takes what `OtlpProtobuf` has encoded in the place of spans.

    Both methods are those that the SDK's exporters of spans, metrics and logs are told apart by.
    """

    def _translate_data(self, data: Sequence[Any]) -> ExportTraceServiceRequest:
        return ExportTraceServiceRequest.FromString(b"".join(data))

    def _count_data(self, data: Sequence[Any]) -> int:
        return len(data)


class OtlpGrpc:
    """A `SpanSink`. `endpoint` is the collector's URL."""

    def __init__(self, endpoint: str, origin: Origin) -> None:
        self._endpoint = endpoint
        self._encoding = OtlpProtobuf(origin)
        self._exporter = _BlockExporter(endpoint=endpoint)

    def __repr__(self) -> str:
        return f"<OtlpGrpc {self._endpoint}>"

    def encode(self, spans: Sequence[SpanRecord]) -> bytes:
        """See the port."""
        return self._encoding.block(spans)

    def export(self, blocks: Sequence[bytes]) -> bool:
        """See the port."""
        data: Any = blocks
        return self._exporter.export(data) is SpanExportResult.SUCCESS

    def close(self) -> None:
        """See the port."""
        self._exporter.shutdown()
