"""The trace context in a call's metadata: W3C Trace Context (`traceparent`, `tracestate`), and gRPC's `grpc-trace-bin`.

https://www.w3.org/TR/trace-context-2/ and, for the binary header, gRFC A72. A context that breaks the rules counts as
absent, as W3C asks ("restart the trace"); nothing here raises. `baggage` passes as any other metadata does.
"""

from __future__ import annotations

import re

from opentelemetry.trace import INVALID_SPAN_ID, INVALID_TRACE_ID, SpanContext, TraceFlags, TraceState

from proxy.tunnel.exchange import Metadata, MetadataValue

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
BAGGAGE = "baggage"
TRACE_BIN = "grpc-trace-bin"

TRACESTATE_LIMIT_BYTES = 512
"""W3C: "vendors SHOULD propagate at least 512 characters"; OpenTelemetry drops a longer one, and so do we."""
BAGGAGE_LIMIT_BYTES = 8192
"""W3C Baggage section 3.3.2: a platform must carry up to this much, and may drop what exceeds it."""

_CONTEXT_KEYS = frozenset({TRACEPARENT, TRACESTATE, TRACE_BIN})
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[^\n]*)?")
_TRACEPARENT_LIMIT_BYTES = 512
"""A future version may be longer than version 00's 55 characters; OpenTelemetry reads up to this."""
_BINARY_LAYOUT = ((0, 0), (17, 1), (26, 2))
"""Offset and value of the marks in `grpc-trace-bin` after its version byte: field ids of trace id, span id, flags."""
_BINARY_BYTES = 29


def extract(metadata: Metadata) -> SpanContext | None:
    """The caller's span, or None where the metadata has none that is valid."""
    parents: list[MetadataValue] = []
    states: list[MetadataValue] = []
    binary: MetadataValue = b""
    for key, value in metadata:
        if key == TRACEPARENT:
            parents.append(value)
        elif key == TRACESTATE:
            states.append(value)
        elif key == TRACE_BIN:
            binary = value
    if len(parents) == 1:
        return _from_text(parents[0], states)
    return _from_binary(binary) if binary and not parents else None


def inject(metadata: Metadata, context: SpanContext) -> Metadata:
    """The same metadata with `context` as its trace context; in `grpc-trace-bin` too, only where there was one."""
    kept = []
    binary = False
    baggage_bytes = 0
    for item in metadata:
        if item[0] in _CONTEXT_KEYS:
            binary = binary or item[0] == TRACE_BIN
            continue
        if item[0] == BAGGAGE:
            # Several headers are one list: the limit is for all of them together.
            if baggage_bytes + len(item[1]) > BAGGAGE_LIMIT_BYTES:
                continue
            baggage_bytes += len(item[1])
        kept.append(item)
    flags = int(context.trace_flags)
    kept.append((TRACEPARENT, f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags:02x}"))
    if context.trace_state:
        kept.append((TRACESTATE, context.trace_state.to_header()))
    if binary:
        kept.append((TRACE_BIN, _binary(context)))
    return tuple(kept)


def _from_text(parent: MetadataValue, states: list[MetadataValue]) -> SpanContext | None:
    if not isinstance(parent, str) or len(parent) > _TRACEPARENT_LIMIT_BYTES:
        return None
    match = _TRACEPARENT.fullmatch(parent.strip(" \t"))
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more):
        return None
    return _context(int(trace_id, 16), int(span_id, 16), int(flags, 16), _state(states))


def _state(states: list[MetadataValue]) -> TraceState | None:
    texts = [state for state in states if isinstance(state, str)]
    if not texts or sum(map(len, texts)) + len(texts) - 1 > TRACESTATE_LIMIT_BYTES:
        return None
    return TraceState.from_header(texts)


def _from_binary(value: MetadataValue) -> SpanContext | None:
    if not isinstance(value, bytes) or len(value) != _BINARY_BYTES or value[0] != 0:
        return None
    body = value[1:]
    if any(body[offset] != mark for offset, mark in _BINARY_LAYOUT):
        return None
    return _context(int.from_bytes(body[1:17], "big"), int.from_bytes(body[18:26], "big"), body[27], None)


def _binary(context: SpanContext) -> bytes:
    trace_id, span_id = context.trace_id.to_bytes(16, "big"), context.span_id.to_bytes(8, "big")
    return b"\x00\x00" + trace_id + b"\x01" + span_id + b"\x02" + bytes([int(context.trace_flags)])


def _context(trace_id: int, span_id: int, flags: int, state: TraceState | None) -> SpanContext | None:
    if trace_id == INVALID_TRACE_ID or span_id == INVALID_SPAN_ID:
        return None
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags), trace_state=state)
