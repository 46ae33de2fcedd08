"""Opens the tracing of a process: where its spans go, by settings and environment.

Environment, the first that applies; the settings count only where none of these does:

- `OTEL_SDK_DISABLED=true`, `OTEL_TRACES_EXPORTER=none`: no tracing; trace contexts pass through.
- `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, `OTEL_EXPORTER_OTLP_ENDPOINT`: that collector.
- `OTEL_TRACES_EXPORTER=otlp` with no endpoint anywhere: `localhost`, the protocol's usual port.

`OTEL_EXPORTER_OTLP_TRACES_PROTOCOL` and `OTEL_EXPORTER_OTLP_PROTOCOL` say `grpc` or `http/protobuf`; without them an
endpoint with port 4318 or a path is HTTP, any other gRPC. Headers, certificates, timeouts and compression are the
exporters' own variables (`OTEL_EXPORTER_OTLP_*`), `OTEL_BSP_*` those of the queue.
"""

from __future__ import annotations

import importlib.metadata
import logging
import math
import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from opentelemetry.sdk.trace.export import SpanExporter

from proxy.clock import Clock, MonotonicClock, wall_ns
from proxy.telemetry.otlp_file import OtlpFileExporter
from proxy.telemetry.recording import RecordingTracing
from proxy.telemetry.span_queue import QueueSettings, SpanQueue
from proxy.telemetry.tracing import NO_TRACING, Tracing, TracingSettings

logger = logging.getLogger(__name__)

HTTP_PORT = 4318
"""Where collectors take OTLP over HTTP; 4317 is gRPC's."""
HTTP_PATH = "/v1/traces"

COLLECTOR_BATCH = 32
"""Spans in one request to a collector: its fixed cost, 0.2 ms, is that of encoding seven spans."""


def open_tracing(
    settings: TracingSettings,
    *,
    clock: Clock | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Tracing:
    """Start tracing as the environment and the settings ask. Never fails for a collector or file out of reach.

    The SDK's exporters read the process's own environment for what `environ` doesn't decide here.
    """
    exporter = _exporter(settings, environ)
    if exporter is None:
        return NO_TRACING
    usual = QueueSettings() if isinstance(exporter, OtlpFileExporter) else QueueSettings(batch=COLLECTOR_BATCH)
    clock = clock or MonotonicClock()
    return RecordingTracing(
        service_name=settings.service_name,
        version=_version(),
        clock=clock,
        wall_ns_at_zero=wall_ns() - round(clock.now() * 1e9),
        queue=SpanQueue(exporter, _queue_settings(environ, usual)),
    )


def _exporter(settings: TracingSettings, environ: Mapping[str, str]) -> SpanExporter | None:
    wanted = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or wanted == "none":
        return None
    if wanted not in {"", "otlp"}:
        logger.warning("OTEL_TRACES_EXPORTER=%s is ignored: otlp and none are known", wanted)
    for variable, path in (("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", ""), ("OTEL_EXPORTER_OTLP_ENDPOINT", HTTP_PATH)):
        if endpoint := environ.get(variable, "").strip():
            return _otlp(endpoint, environ, http_path=path)
    if settings.otlp_endpoint:
        return _otlp(settings.otlp_endpoint, environ, http_path=HTTP_PATH)
    if wanted == "otlp":
        http = _protocol(environ) == "http/protobuf"
        return _otlp("http://localhost:4318" if http else "http://localhost:4317", environ, http_path=HTTP_PATH)
    if settings.traces_file:
        return OtlpFileExporter(settings.traces_file)
    return None


def _protocol(environ: Mapping[str, str]) -> str:
    for variable in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        protocol = environ.get(variable, "").strip().lower()
        if protocol in {"grpc", "http/protobuf"}:
            return protocol
        if protocol:
            logger.warning("%s=%s is ignored: grpc and http/protobuf are known", variable, protocol)
    return ""


def _otlp(endpoint: str, environ: Mapping[str, str], *, http_path: str) -> SpanExporter:
    """An exporter to a collector. `http_path` is what an HTTP endpoint lacks unless it has it already."""
    url = urlsplit(endpoint if "://" in endpoint else f"http://{endpoint}")
    has_path = url.path.strip("/") != ""
    protocol = _protocol(environ) or ("http/protobuf" if url.port == HTTP_PORT or has_path else "grpc")
    if protocol == "grpc":
        # Importing either exporter takes 0.1 s, which a process that doesn't use it need not spend.
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter as GrpcExporter,
        )

        return GrpcExporter(endpoint=url.geturl())
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter as HttpExporter,
    )

    full = url.geturl().rstrip("/")
    return HttpExporter(endpoint=full if full.endswith(http_path) else full + http_path)


def _queue_settings(environ: Mapping[str, str], default: QueueSettings) -> QueueSettings:
    size = _number(environ, "OTEL_BSP_MAX_QUEUE_SIZE", default.size)
    batch = _number(environ, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", default.batch)
    delay_ms = _number(environ, "OTEL_BSP_SCHEDULE_DELAY", default.delay_s * 1000)
    return QueueSettings(size=int(size), delay_s=delay_ms / 1000, batch=min(int(batch), int(size)))


def _number(environ: Mapping[str, str], variable: str, default: float) -> float:
    text = environ.get(variable, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if value >= 1 and value != math.inf:
        return value
    logger.warning("%s=%s is ignored: it must be a number from 1", variable, text)
    return default


def _version() -> str:
    try:
        return importlib.metadata.version("headway")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
