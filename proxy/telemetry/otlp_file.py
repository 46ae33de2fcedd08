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
import json.encoder
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
_quoted = json.encoder.encode_basestring_ascii
"""A text as JSON."""
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
    """Put together by hand: a call has four spans with some fifty values, and `json` takes three times as long."""
    resource = _attributes(spans[0].resource.attributes)
    scope = _scope(spans[0].instrumentation_scope)
    encoded = ",".join([_span(span) for span in spans])
    return (
        f'{{"resourceSpans":[{{"resource":{{"attributes":{resource}}},'
        f'"scopeSpans":[{{"scope":{scope},"spans":[{encoded}]}}]}}]}}\n'
    ).encode()


def _scope(scope: InstrumentationScope | None) -> str:
    return "{}" if scope is None else f'{{"name":{_quoted(scope.name)},"version":{_quoted(scope.version or "")}}}'


def _span(span: ReadableSpan) -> str:
    context = span.context
    message = f',"message":{_quoted(span.status.description)}' if span.status.description else ""
    parent = "" if span.parent is None else f',"parentSpanId":"{span.parent.span_id:016x}"'
    state = f',"traceState":{_quoted(context.trace_state.to_header())}' if context.trace_state else ""
    events = ""
    if span.events:
        listed = [
            f'{{"timeUnixNano":"{event.timestamp}","name":{_quoted(event.name)},'
            f'"attributes":{_attributes(event.attributes or {})}}}'
            for event in span.events
        ]
        events = f',"events":[{",".join(listed)}]'
    return (
        f'{{"traceId":"{context.trace_id:032x}","spanId":"{context.span_id:016x}",'
        f'"flags":{_flags(context, span.parent)},"name":{_quoted(span.name)},"kind":{_KINDS[span.kind]},'
        f'"startTimeUnixNano":"{span.start_time}","endTimeUnixNano":"{span.end_time}",'
        f'"attributes":{_attributes(span.attributes or {})},'
        f'"status":{{"code":{span.status.status_code.value}{message}}}{parent}{state}{events}}}'
    )


def _flags(context: SpanContext, parent: SpanContext | None) -> int:
    remote = _IS_REMOTE if parent is not None and parent.is_remote else 0
    return int(context.trace_flags) | _HAS_IS_REMOTE | remote


def _attributes(attributes: Mapping[str, Any]) -> str:
    each = [f'{{"key":{_quoted(key)},"value":{_value(value)}}}' for key, value in attributes.items()]
    return f"[{','.join(each)}]"


def _value(value: Any) -> str:
    if isinstance(value, str):
        return f'{{"stringValue":{_quoted(value)}}}'
    if isinstance(value, bool):
        return f'{{"boolValue":{"true" if value else "false"}}}'
    if isinstance(value, int):
        return f'{{"intValue":"{value}"}}'
    if isinstance(value, float):
        return f'{{"doubleValue":{float.__repr__(value) if math.isfinite(value) else _quoted(_unusual(value))}}}'
    if isinstance(value, (list, tuple)):
        return f'{{"arrayValue":{{"values":[{",".join([_value(one) for one in value])}]}}}}'
    return f'{{"stringValue":{_quoted(str(value))}}}'


def _unusual(value: float) -> str:
    """JSON has no numbers for these; protobuf's JSON mapping writes them so."""
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
