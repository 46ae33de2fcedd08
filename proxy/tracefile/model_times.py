"""How long requests waited in Triton and were computed there, by Triton's own spans."""

from __future__ import annotations

from typing import NamedTuple

from proxy.tracefile.spans import TRITON_SERVICE, Span

_COMPUTE = "compute"
"""Triton's name for the span of the computation."""
_QUEUED = "QUEUE_START"
"""Its event in the span of the model."""


class ModelTime(NamedTuple):
    """Of one request, milliseconds."""

    queue_ms: float
    compute_ms: float


class ModelTimes:
    """Takes spans in any order. Tells nothing of a trace with several requests to models.

    Span names and events: https://github.com/triton-inference-server/server/blob/main/docs/user_guide/trace.md.
    """

    def __init__(self) -> None:
        self._queued_ns: dict[str, list[int]] = {}
        self._computed_ns: dict[str, list[tuple[int, int]]] = {}

    def __repr__(self) -> str:
        return f"<ModelTimes of {len(self._computed_ns)} traces>"

    def add(self, span: Span) -> None:
        """Take one; those of other services mean nothing."""
        if span.service != TRITON_SERVICE:
            return
        if span.name == _COMPUTE:
            self._computed_ns.setdefault(span.trace_id, []).append((span.start_ns, span.end_ns))
        for event in span.events:
            if event.name == _QUEUED:
                self._queued_ns.setdefault(span.trace_id, []).append(event.at_ns)

    def of(self, trace_id: str) -> ModelTime | None:
        """Those of the trace's one request."""
        queued, computed = self._queued_ns.get(trace_id, ()), self._computed_ns.get(trace_id, ())
        if len(queued) != 1 or len(computed) != 1:
            return None
        (queued_ns,), ((begun_ns, ended_ns),) = queued, computed
        return ModelTime((begun_ns - queued_ns) / 1e6, (ended_ns - begun_ns) / 1e6)
