"""Spans as a file of OTLP JSON lines: what a collector's file exporter writes, and what Jaeger's UI opens.

Each line is one `TracesData` message in OTLP's JSON encoding
(https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding): lowerCamelCase keys, ids in lower-case hexadecimal,
enums as numbers, 64-bit integers as strings. Proxy and daemon may share a file: a line is one write to a file opened
for appending, which the kernel keeps in one piece.

A file that can't be written loses spans and nothing else: the trouble is logged once, and the queue counts.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind

logger = logging.getLogger(__name__)

FILE_LIMIT_BYTES = 256 << 20
"""Size at which the file becomes `<file>.1`, in place of an earlier one: about 250 000 spans."""

_KINDS = {
    SpanKind.INTERNAL: 1,
    SpanKind.SERVER: 2,
    SpanKind.CLIENT: 3,
    SpanKind.PRODUCER: 4,
    SpanKind.CONSUMER: 5,
}
_HAS_IS_REMOTE = 0x100
_IS_REMOTE = 0x200


class OtlpFileExporter(SpanExporter):
    """Appends spans to `path`. Used by one thread."""

    def __init__(self, path: str | Path, *, limit_bytes: int = FILE_LIMIT_BYTES) -> None:
        self._path = Path(path)
        self._limit_bytes = limit_bytes
        self._fd: int | None = None
        self._torn = False
        self._failing = False

    def __repr__(self) -> str:
        return f"<OtlpFileExporter {self._path}{' failing' if self._failing else ''}>"

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Append one line for each resource among `spans`."""
        try:
            for line in encode_lines(spans):
                self._append(line)
        except OSError as error:
            if not self._failing:
                logger.warning("Spans are lost until %s can be written again: %s", self._path, error.strerror or error)
            self._failing = True
            return SpanExportResult.FAILURE
        self._failing = False
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Close the file."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Nothing is held back."""
        return True

    def _append(self, line: bytes) -> None:
        fd = self._current_file()
        # What a full disk cut short ends here, so that only that line is unreadable.
        data = b"\n" + line if self._torn else line
        written = os.write(fd, data)
        self._torn = written < len(data)
        if self._torn:
            raise OSError(f"only {written} of {len(data)} bytes were written")

    def _current_file(self) -> int:
        """The file now at the path: another process, or a log rotation, may have moved the one that is open."""
        if self._fd is not None and not self._is_at_path(self._fd):
            self.shutdown()
        if self._fd is None:
            self._fd = self._open()
        if os.fstat(self._fd).st_size >= self._limit_bytes:
            self._rotate(self._fd)
            self.shutdown()
            self._fd = self._open()
        return self._fd

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def _rotate(self, fd: int) -> None:
        with _locked(fd):
            # Whoever waited for the lock finds that it has been done.
            if self._is_at_path(fd):
                self._path.replace(self._path.with_name(self._path.name + ".1"))

    def _is_at_path(self, fd: int) -> bool:
        try:
            return os.path.samestat(os.fstat(fd), self._path.stat())
        except FileNotFoundError:
            return False


@contextlib.contextmanager
def _locked(fd: int) -> Iterator[None]:
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(fd, fcntl.LOCK_UN)


def encode_lines(spans: Sequence[ReadableSpan]) -> list[bytes]:
    """One line for each resource and scope among `spans`, in the order in which they first appear."""
    groups: dict[tuple[int, int], list[ReadableSpan]] = {}
    for span in spans:
        groups.setdefault((id(span.resource), id(span.instrumentation_scope)), []).append(span)
    return [_line(group) for group in groups.values()]


def _line(spans: list[ReadableSpan]) -> bytes:
    scope_spans = {"scope": _scope(spans[0].instrumentation_scope), "spans": [_span(span) for span in spans]}
    resource = {"attributes": _attributes(spans[0].resource.attributes)}
    message = {"resourceSpans": [{"resource": resource, "scopeSpans": [scope_spans]}]}
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def _scope(scope: InstrumentationScope | None) -> dict[str, Any]:
    return {} if scope is None else {"name": scope.name, "version": scope.version or ""}


def _span(span: ReadableSpan) -> dict[str, Any]:
    context = span.context
    encoded: dict[str, Any] = {
        "traceId": f"{context.trace_id:032x}",
        "spanId": f"{context.span_id:016x}",
        "flags": _flags(context, span.parent),
        "name": span.name,
        "kind": _KINDS[span.kind],
        "startTimeUnixNano": str(span.start_time),
        "endTimeUnixNano": str(span.end_time),
        "attributes": _attributes(span.attributes or {}),
        "status": {"code": span.status.status_code.value},
    }
    if span.parent is not None:
        encoded["parentSpanId"] = f"{span.parent.span_id:016x}"
    if context.trace_state:
        encoded["traceState"] = context.trace_state.to_header()
    if span.events:
        encoded["events"] = [
            {
                "timeUnixNano": str(event.timestamp),
                "name": event.name,
                "attributes": _attributes(event.attributes or {}),
            }
            for event in span.events
        ]
    if span.status.description:
        encoded["status"]["message"] = span.status.description
    return encoded


def _flags(context: SpanContext, parent: SpanContext | None) -> int:
    remote = _IS_REMOTE if parent is not None and parent.is_remote else 0
    return int(context.trace_flags) | _HAS_IS_REMOTE | remote


def _attributes(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value if math.isfinite(value) else _unusual(value)}
    if isinstance(value, (list, tuple)):
        return {"arrayValue": {"values": [_value(one) for one in value]}}
    return {"stringValue": str(value)}


def _unusual(value: float) -> str:
    """JSON has no numbers for these; protobuf's JSON mapping writes them so."""
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
