"""Which calls are traced whatever becomes of them, by OpenTelemetry's samplers (`OTEL_TRACES_SAMPLER`).

The SDK's samplers want a context object made of the caller's span, which takes 2 µs in each process. What the standard
ones that go by the parent decide is two comparisons, so those are made here; any other sampler is asked itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Sampler, TraceIdRatioBased
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from proxy.telemetry import names
from proxy.telemetry.propagation import SAMPLED, TraceContext
from proxy.telemetry.tracing import Value

_STANDARD = re.compile(
    r"ParentBased\{root:(AlwaysOnSampler|TraceIdRatioBased\{([0-9.e-]+)\}),"
    r"remoteParentSampled:AlwaysOnSampler,remoteParentNotSampled:AlwaysOffSampler,.*"
)
"""Descriptions of `parentbased_always_on`, which is the default, and of `parentbased_traceidratio`."""
_ALWAYS_OFF = re.compile(r"AlwaysOffSampler|ParentBased\{root:AlwaysOffSampler")
"""Descriptions of samplers that mean that nothing is to be recorded."""


class Sampled(NamedTuple):
    """A decision."""

    recorded: bool
    state: str = ""
    """`tracestate` of the call's spans."""
    attributes: Mapping[str, Value] | None = None
    """What the sampler wants to be on the span."""


class Sampling:
    """Decides by `sampler`."""

    def __init__(self, sampler: Sampler) -> None:
        description = sampler.get_description()
        self._sampler = sampler
        self._root_bound: int | None = None
        if standard := _STANDARD.fullmatch(description):
            rate = float(standard[2]) if standard[2] else 1.0
            self._root_bound = TraceIdRatioBased.get_bound_for_rate(rate)
        self.off = _ALWAYS_OFF.match(description) is not None
        """Whether nothing is to be recorded, missed deadlines neither."""

    def __repr__(self) -> str:
        return f"<Sampling {self._sampler.get_description()}>"

    def decide(self, trace_id: int, parent: TraceContext | None, *, method: str, traffic_class: str) -> Sampled:
        """Whether a call's SERVER span is recorded. `trace_id` counts only for a call without a `parent`."""
        if self._root_bound is None:
            return self._ask(trace_id, parent, method, traffic_class)
        if parent is None:
            return _YES if trace_id & TraceIdRatioBased.TRACE_ID_LIMIT < self._root_bound else _NO
        if parent.state:
            return Sampled(bool(parent.flags & SAMPLED), parent.state)
        return _YES if parent.flags & SAMPLED else _NO

    def _ask(self, trace_id: int, parent: TraceContext | None, method: str, traffic_class: str) -> Sampled:
        context = Context()
        if parent is not None:
            context = set_span_in_context(NonRecordingSpan(to_sdk(parent, is_remote=True)), context)
            trace_id = int(parent.trace_id, 16)
        attributes = {names.RPC_SYSTEM: "grpc", names.RPC_METHOD: method}
        if traffic_class:
            attributes[names.TRAFFIC_CLASS] = traffic_class
        asked = self._sampler.should_sample(context, trace_id, method, SpanKind.SERVER, attributes)
        recorded = bool(asked.decision.is_sampled())  # type: ignore[no-untyped-call]
        state = asked.trace_state.to_header() if asked.trace_state else ""
        added = {
            name: value
            for name, value in (asked.attributes or {}).items()
            if name not in attributes and isinstance(value, (str, bool, int, float))
        }
        return Sampled(recorded, state, added or None)


_YES, _NO = Sampled(recorded=True), Sampled(recorded=False)


def to_sdk(context: TraceContext, *, is_remote: bool) -> SpanContext:
    """The same as the SDK has it."""
    return SpanContext(
        int(context.trace_id, 16),
        int(context.span_id, 16),
        is_remote=is_remote,
        trace_flags=TraceFlags(context.flags),
        trace_state=TraceState.from_header([context.state]) if context.state else None,
    )
