"""Tracing whose spans stay in memory, as the SDK has them, or go to a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from policies.traffic import Deadline
from proxy.clock import Clock
from proxy.telemetry.otlp_file import OtlpFile
from proxy.telemetry.propagation import TraceContext
from proxy.telemetry.recording import RecordingTracing
from proxy.telemetry.sdk import SdkSink, origin_of, provider_of
from proxy.telemetry.span_queue import SpanQueue, SpanSink
from proxy.telemetry.span_record import SERVER, ServedCall, SpanRecord
from proxy.tunnel.exchange import CallStatus

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Recorded:
    """`tracing` of a process; `spans` ends it."""

    def __init__(
        self,
        clock: Clock,
        *,
        service_name: str = "headway-proxy",
        wall_ns_at_zero: int = 0,
        withholds_from: str = "",
        propagates: bool = True,
        file: Path | None = None,
    ) -> None:
        self._exporter = InMemorySpanExporter()
        provider = provider_of(service_name, "1.2")
        origin = origin_of(provider, "1.2", wall_ns_at_zero=wall_ns_at_zero)
        sink: SpanSink[Any] = SdkSink(self._exporter, origin) if file is None else OtlpFile(file, origin)
        self.tracing = RecordingTracing(
            provider,
            clock=clock,
            queue=SpanQueue(sink),
            withholds_from=withholds_from,
            propagates=propagates,
        )

    def spans(self) -> Sequence[ReadableSpan]:
        """What was exported, once the tracing is closed, which this does."""
        self.tracing.close()
        return self._exporter.get_finished_spans()


def finished(
    method: str = "pkg.Service/Method",
    *,
    parent: TraceContext | None = None,
    kind: int = SERVER,
    deadline: Deadline | None = None,
    status: CallStatus | None = None,
    state: str = "",
) -> SpanRecord:
    """A span from 100 to 100.25 s of a call that arrived at 100 s."""
    call = ServedCall(method, "bulk", deadline or Deadline(), 100.0, "ipv4:10.0.0.7:51234")
    span = SpanRecord(TraceContext(TRACE_ID, SPAN_ID, 1, state), parent, kind, call, 100.0, "0.0.0.0:8001")
    span.status = status or CallStatus(0)
    span.ended_at = 100.25
    return span
