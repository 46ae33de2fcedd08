"""What the stations of a call (`proxy.edge`, `proxy.daemon`) use to tell about it.

    settings = TracingSettings(names.PROXY_SERVICE, traces_file="t.jsonl")
    tracing = open_tracing(settings, clock=clock)             # of proxy.telemetry.exporters; once a process
    span = tracing.server_span(head, address="0.0.0.0:8001")  # once a call, classified; starts at head.accepted_at
    onward = span.child(address="gpu-host:4433")              # CLIENT span: the call onward, to the daemon or to Triton
    carrier.open(head.with_metadata(onward.inject(head.metadata)))
    span.set(names.POLICY, "round_robin")                     # anything that becomes known later
    span.event(names.DISPATCH, at=now)                        # `at` is monotonic; left out, it is the clock's time
    onward.finish(status)                                     # the CallStatus received from there
    span.finish(status)                                       # the CallStatus for the caller; always, cancelled or not
    await asyncio.to_thread(tracing.close)                    # last; blocks for 2 s at most

A SERVER span whose deadline was missed is given `names.MISSED_AT`: it is kept whatever the sampler says. `names.SLACK`
is what was left when the span ended, unless it has been set.

A first `finish` counts, further ones do nothing, so that `finally: span.finish(CallStatus(Code.CANCELLED))` is safe. A
span that isn't finished is never written. Class, deadline, slack, peer, method and status come from `head` and `status`
and need no `set`. Nothing here raises for what a call brings, waits, or does I/O; with tracing off (`NO_TRACING`) every
method is an empty one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from proxy.telemetry.stages import StageReport
from proxy.tunnel.exchange import CallHead, CallStatus, Metadata

Value = str | bool | int | float
"""What an attribute may be."""
EventAttributes = Mapping[str, Value] | Callable[[], Mapping[str, Value]] | None
"""Attributes of an event, or what puts them together when they are exported: in another thread, and perhaps never. So
it must hold on to nothing that changes."""

CLOSE_TIMEOUT_S = 2.0
"""How long closing waits for spans to be written: a stop is not held up by a collector that is away."""


@dataclass(frozen=True, slots=True)
class TracingSettings:
    """Where spans go. `OTEL_*` environment variables win over these (`proxy.telemetry.exporters` has the list)."""

    service_name: str
    """`service.name` of this process."""
    otlp_endpoint: str | None = None
    """Collector's URL, gRPC (`http://host:4317`) or HTTP (`http://host:4318`). Unset: `traces_file`."""
    traces_file: str | None = None
    """File for OTLP JSON lines. Both unset: no tracing."""
    withholds_from: str = ""
    """Methods (`package.Service/Method`) that begin so are served by somebody who records every call that comes with a
    trace context, its "not sampled" notwithstanding: calls that are not sampled go there without one."""


@dataclass(frozen=True, slots=True)
class SpanStatistics:
    """What became of finished spans so far."""

    exported: int = 0
    """Handed over to the collector or the file."""
    failed: int = 0
    """Lost because the collector or the file refused them."""
    dropped: int = 0
    """Lost because the queue was full."""
    waiting: int = 0
    """In the queue."""


class CallSpan(Protocol):
    """One station's part of one call."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits, for logs; empty when the call is in no trace that this process knows of."""

    @property
    def recording(self) -> bool:
        """Whether the call is sampled, and not over.

        What is told of another one is kept as well, in case that its deadline is missed: it had better cost nothing to
        put together.
        """

    def child(self, *, address: str = "", at: float | None = None) -> CallSpan:
        """Begin the span of this process calling somebody else (`address`, host:port) for the same call."""

    def address(self, address: str) -> None:
        """Note who is called, host:port, where that was not known when the span began."""

    def set(self, name: str, value: Value) -> None:
        """Note an attribute (`proxy.telemetry.names`); a later value replaces an earlier one."""

    def event(self, name: str, *, at: float | None = None, attributes: EventAttributes = None) -> None:
        """Note that something happened, at a monotonic time in seconds."""

    def stages(self, report: StageReport) -> None:
        """Note where the call's time went."""

    def inject(self, metadata: Metadata) -> Metadata:
        """The metadata to send on, with this span as the parent of what the callee does."""

    def finish(self, status: CallStatus, *, at: float | None = None) -> None:
        """End the span. The first call counts."""


class Tracing(Protocol):
    """Where a process's spans begin, and where they go."""

    def server_span(self, head: CallHead, *, address: str = "") -> CallSpan:
        """Begin the span of serving a call, on the listener `address`, in the caller's trace if it names one."""

    def statistics(self) -> SpanStatistics:
        """Counts since the start."""

    def close(self, *, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Write what is left, for `timeout_s` at most. Blocks."""


class NoSpan:
    """The span of a call that nobody records; the caller's trace context passes through untouched."""

    __slots__ = ()

    @property
    def trace_id(self) -> str:
        """Empty."""
        return ""

    @property
    def recording(self) -> bool:
        """Never."""
        return False

    def child(self, *, address: str = "", at: float | None = None) -> CallSpan:
        """This one again."""
        return self

    def address(self, address: str) -> None:
        """Nothing."""

    def set(self, name: str, value: Value) -> None:
        """Nothing."""

    def event(self, name: str, *, at: float | None = None, attributes: EventAttributes = None) -> None:
        """Nothing."""

    def stages(self, report: StageReport) -> None:
        """Nothing."""

    def inject(self, metadata: Metadata) -> Metadata:
        """The same metadata."""
        return metadata

    def finish(self, status: CallStatus, *, at: float | None = None) -> None:
        """Nothing."""


NO_SPAN = NoSpan()


class NoTracing:
    """Tracing that is switched off."""

    def server_span(self, head: CallHead, *, address: str = "") -> CallSpan:
        """A span that records nothing."""
        return NO_SPAN

    def statistics(self) -> SpanStatistics:
        """All zero."""
        return SpanStatistics()

    def close(self, *, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Nothing."""


NO_TRACING = NoTracing()
