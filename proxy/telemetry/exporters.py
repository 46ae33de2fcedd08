"""Opens the tracing of a process: where its spans go, by settings and environment.

Environment, the first that applies; the settings count only where none of these does:

- `OTEL_SDK_DISABLED=true`, `OTEL_TRACES_EXPORTER=none`: no tracing; trace contexts pass through.
- `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, `OTEL_EXPORTER_OTLP_ENDPOINT`: that collector.
- `OTEL_TRACES_EXPORTER=otlp` with no endpoint anywhere: `localhost`, the protocol's usual port.

`OTEL_PROPAGATORS=none` keeps trace contexts from being read or written; of its other values `tracecontext` and
`baggage` are known, and what they mean happens in any case.

`OTEL_EXPORTER_OTLP_TRACES_PROTOCOL` and `OTEL_EXPORTER_OTLP_PROTOCOL` say `grpc` or `http/protobuf`; without them an
endpoint with port 4318 or a path is HTTP, any other gRPC. Headers, certificates, timeouts and compression are the
exporters' own variables (`OTEL_EXPORTER_OTLP_*`), `OTEL_BSP_*` those of the queue.
"""

from __future__ import annotations

import importlib.metadata
import logging
import math
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from proxy.clock import Clock, MonotonicClock, wall_ns
from proxy.telemetry.otlp_file import OtlpFile
from proxy.telemetry.recording import RecordingTracing
from proxy.telemetry.sdk import SdkSink, origin_of, provider_of
from proxy.telemetry.span_queue import QueueSettings, SpanQueue, SpanSink
from proxy.telemetry.span_record import Origin
from proxy.telemetry.tracing import NO_TRACING, Tracing, TracingSettings

logger = logging.getLogger(__name__)

HTTP_PORT = 4318
"""Where collectors take OTLP over HTTP; 4317 is gRPC's."""
HTTP_PATH = "/v1/traces"

SDK_BATCH = 16
"""Spans that the SDK is given at a time. It takes 1.4 ms to encode them, for which the event loop may stand still."""


def open_tracing(
    settings: TracingSettings,
    *,
    clock: Clock | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Tracing:
    """Start tracing as the environment and the settings ask. Never fails for a collector or file out of reach.

    The SDK's exporters read the process's own environment for what `environ` doesn't decide here.
    """
    make_sink = _sink(settings, environ)
    if make_sink is None:
        return NO_TRACING
    version = _version()
    clock = clock or MonotonicClock()
    provider = provider_of(settings.service_name, version)
    sink = make_sink(origin_of(provider, version, wall_ns_at_zero=wall_ns() - round(clock.now() * 1e9)))
    usual = QueueSettings(batch=SDK_BATCH) if isinstance(sink, SdkSink) else QueueSettings()
    return RecordingTracing(
        provider,
        clock=clock,
        queue=SpanQueue(sink, _queue_settings(environ, usual)),
        withholds_from=settings.withholds_from,
        propagates=_propagates(environ),
    )


def _sink(settings: TracingSettings, environ: Mapping[str, str]) -> Callable[[Origin], SpanSink[Any]] | None:
    """Where spans go; None for no tracing."""
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
        endpoint = "http://localhost:4318" if http else "http://localhost:4317"
        return _otlp(endpoint, environ, http_path=HTTP_PATH)
    if settings.traces_file:
        return partial(OtlpFile, settings.traces_file)
    return None


def _protocol(environ: Mapping[str, str]) -> str:
    for variable in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        protocol = environ.get(variable, "").strip().lower()
        if protocol in {"grpc", "http/protobuf"}:
            return protocol
        if protocol:
            logger.warning("%s=%s is ignored: grpc and http/protobuf are known", variable, protocol)
    return ""


def _otlp(endpoint: str, environ: Mapping[str, str], *, http_path: str) -> Callable[[Origin], SpanSink[Any]]:
    """What sends spans to a collector. `http_path` is what an HTTP endpoint lacks unless it has it already."""
    url = urlsplit(endpoint if "://" in endpoint else f"http://{endpoint}")
    has_path = url.path.strip("/") != ""
    protocol = _protocol(environ) or ("http/protobuf" if url.port == HTTP_PORT or has_path else "grpc")
    if protocol == "grpc":
        # Importing either exporter takes 0.1 s, which a process that doesn't use it need not spend.
        from proxy.telemetry.otlp_grpc import OtlpGrpc  # noqa: PLC0415

        return partial(OtlpGrpc, url.geturl())
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter as HttpExporter,
    )

    full = url.geturl().rstrip("/")
    return partial(SdkSink, HttpExporter(endpoint=full if full.endswith(http_path) else full + http_path))


def _propagates(environ: Mapping[str, str]) -> bool:
    asked = [name for name in (one.strip().lower() for one in environ.get("OTEL_PROPAGATORS", "").split(",")) if name]
    for name in asked:
        if name not in {"tracecontext", "baggage", "none"}:
            logger.warning("OTEL_PROPAGATORS: %s is ignored: tracecontext, baggage and none are known", name)
    return "none" not in asked


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
