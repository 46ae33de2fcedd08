"""The trace context in a call's metadata: W3C Trace Context (`traceparent`, `tracestate`), and gRPC's `grpc-trace-bin`.

https://www.w3.org/TR/trace-context-2/ and, for the binary header, gRFC A72. A context that breaks the rules counts as
absent, as W3C asks ("restart the trace"); nothing here raises. `baggage` passes as any other metadata does.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from opentelemetry.trace import TraceState

from proxy.tunnel.exchange import Metadata, MetadataValue

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
BAGGAGE = "baggage"
TRACE_BIN = "grpc-trace-bin"

SAMPLED = 1
"""The flag of a trace that whoever began it keeps."""
TRACESTATE_LIMIT_BYTES = 512
"""W3C: "vendors SHOULD propagate at least 512 characters"; OpenTelemetry drops a longer one, and so do we."""
BAGGAGE_LIMIT_BYTES = 8192
"""W3C Baggage section 3.3.2: a platform must carry up to this much, and may drop what exceeds it."""

_CONTEXT_KEYS = frozenset({TRACEPARENT, TRACESTATE, TRACE_BIN})
_KEYS = _CONTEXT_KEYS | {BAGGAGE}
_TRACEPARENT = re.compile(r"[ \t]*([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[^\n]*)?[ \t]*")
_TRACEPARENT_LIMIT_BYTES = 512
"""A future version may be longer than version 00's 55 characters; OpenTelemetry reads up to this."""
_BINARY_LAYOUT = ((0, 0), (17, 1), (26, 2))
"""Offset and value of the marks in `grpc-trace-bin` after its version byte: field ids of trace id, span id, flags."""
_BINARY_BYTES = 29
_NO_TRACE_ID, _NO_SPAN_ID = "0" * 32, "0" * 16


class TraceContext(NamedTuple):
    """Which span of which trace. Ids are text as in `traceparent`: in most calls nobody needs their numbers."""

    trace_id: str
    """32 hexadecimal digits in lower case, not all zero."""
    span_id: str
    """16 of them."""
    flags: int = 0
    """`SAMPLED` and what W3C may add."""
    state: str = ""
    """`tracestate`, or nothing."""


def extract(metadata: Metadata) -> TraceContext | None:
    """The caller's span, or None where the metadata has none that is valid."""
    parents: list[MetadataValue] = []
    states: list[MetadataValue] = []
    binary: MetadataValue = b""
    for key, value in metadata:
        if key not in _CONTEXT_KEYS:
            continue
        if key == TRACEPARENT:
            parents.append(value)
        elif key == TRACESTATE:
            states.append(value)
        else:
            binary = value
    if len(parents) == 1:
        return _from_text(parents[0], states)
    return _from_binary(binary) if binary and not parents else None


def inject(metadata: Metadata, context: TraceContext) -> Metadata:
    """The same metadata with `context` as its trace context; in `grpc-trace-bin` too, only where there was one."""
    kept, binary = _without_context(metadata)
    parent = (TRACEPARENT, f"00-{context.trace_id}-{context.span_id}-{context.flags:02x}")
    if not (context.state or binary):
        return (*kept, parent)
    more: list[tuple[str, MetadataValue]] = [parent]
    if context.state:
        more.append((TRACESTATE, context.state))
    if binary:
        more.append((TRACE_BIN, _binary(context)))
    return (*kept, *more)


def withhold(metadata: Metadata) -> Metadata:
    """The same metadata without a trace context."""
    return _without_context(metadata)[0]


def _without_context(metadata: Metadata) -> tuple[Metadata, bool]:
    """What is no trace context, without baggage that is too large; and whether `grpc-trace-bin` was there."""
    for key, _ in metadata:
        if key in _KEYS:
            break
    else:
        return metadata, False
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
    return tuple(kept), binary


def _from_text(parent: MetadataValue, states: list[MetadataValue]) -> TraceContext | None:
    if not isinstance(parent, str) or len(parent) > _TRACEPARENT_LIMIT_BYTES:
        return None
    match = _TRACEPARENT.fullmatch(parent)
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more):
        return None
    return _context(trace_id, span_id, int(flags, 16), _state(states) if states else "")


def _state(states: list[MetadataValue]) -> str:
    texts = [state for state in states if isinstance(state, str)]
    if not texts or sum(map(len, texts)) + len(texts) - 1 > TRACESTATE_LIMIT_BYTES:
        return ""
    return TraceState.from_header(texts).to_header()


def _from_binary(value: MetadataValue) -> TraceContext | None:
    if not isinstance(value, bytes) or len(value) != _BINARY_BYTES or value[0] != 0:
        return None
    body = value[1:]
    if any(body[offset] != mark for offset, mark in _BINARY_LAYOUT):
        return None
    return _context(body[1:17].hex(), body[18:26].hex(), body[27], "")


def _binary(context: TraceContext) -> bytes:
    trace_id, span_id = bytes.fromhex(context.trace_id), bytes.fromhex(context.span_id)
    return b"\x00\x00" + trace_id + b"\x01" + span_id + b"\x02" + bytes([context.flags])


def _context(trace_id: str, span_id: str, flags: int, state: str) -> TraceContext | None:
    if trace_id == _NO_TRACE_ID or span_id == _NO_SPAN_ID:
        return None
    return TraceContext(trace_id, span_id, flags, state)
