"""One small record for each call that headway served, made from the spans that say how it went."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from sys import intern

from proxy.telemetry import names
from proxy.telemetry.stages import BACKEND, MODEL_COMPUTE, MODEL_QUEUE
from proxy.tracefile.model_times import ModelTime, ModelTimes
from proxy.tracefile.spans import SERVER, Span
from proxy.tracefile.stages import stages_of

NO_CLASS = "none"
"""Class of a call whose span names none."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call as the proxy saw it; as the daemon did where the proxy's span is not in the files."""

    trace_id: str
    span_id: str
    service: str
    method: str
    traffic_class: str
    start_ns: int
    duration_ms: float
    deadline_ms: float | None
    """From its start; None without one."""
    slack_ms: float | None
    """What was left of the deadline at its end; negative when it was missed."""
    missed_at: str
    """The stage that used up the deadline; empty when none is named."""
    status: str
    """Name of the gRPC status."""
    asked: str
    """The model that the client named; empty if unknown."""
    answered: str
    """The model that answered."""
    stages: Mapping[str, float]
    """Milliseconds in each, in the order in which they follow each other."""

    @property
    def missed(self) -> bool:
        """Whether its deadline was missed."""
        if self.missed_at or self.status == "DEADLINE_EXCEEDED":
            return True
        return self.slack_ms is not None and self.slack_ms < 0

    @property
    def failed(self) -> bool:
        """Whether it ended without an answer, for another reason than its deadline."""
        return self.status != "OK" and not self.missed

    @property
    def on_time(self) -> bool:
        """Whether it was answered within its deadline."""
        return not self.missed and not self.failed


def call_of(span: Span) -> Call:
    """The call that a SERVER span of headway's tells of."""
    deadline_ms = span.number(names.DEADLINE)
    slack_ms = span.number(names.SLACK)
    if slack_ms is None and deadline_ms is not None:
        slack_ms = deadline_ms - span.duration_ms
    return Call(
        trace_id=span.trace_id,
        span_id=span.span_id,
        service=intern(span.service),
        method=intern(span.name),
        traffic_class=intern(span.text(names.TRAFFIC_CLASS) or NO_CLASS),
        start_ns=span.start_ns,
        duration_ms=span.duration_ms,
        deadline_ms=deadline_ms,
        slack_ms=slack_ms,
        missed_at=intern(span.text(names.MISSED_AT)),
        status=intern(span.text(names.RPC_STATUS_CODE) or ("UNKNOWN" if span.failed else "OK")),
        asked=intern(span.text(names.REQUEST_MODEL)),
        answered=intern(span.text(names.RESPONSE_MODEL) or span.text(names.MODEL)),
        stages=stages_of(span.attributes),
    )


class CallCollector:
    """Takes spans in any order and keeps the calls."""

    def __init__(self) -> None:
        self.spans = 0
        self._traces: set[str] = set()
        self._at_proxy: dict[str, Call] = {}
        self._at_daemon: dict[str, Call] = {}
        self._model_times = ModelTimes()

    def __repr__(self) -> str:
        return f"<CallCollector {self.spans} spans, {len(self._at_proxy)} calls at proxies>"

    @property
    def traces(self) -> int:
        """How many there are, with a call or without."""
        return len(self._traces)

    def add(self, span: Span) -> None:
        """Take one."""
        self.spans += 1
        self._traces.add(span.trace_id)
        self._model_times.add(span)
        if span.kind == SERVER and span.service == names.PROXY_SERVICE:
            self._at_proxy[span.span_id] = call_of(span)
        elif span.kind == SERVER and span.service == names.DAEMON_SERVICE:
            self._at_daemon[span.span_id] = call_of(span)

    def calls(self) -> list[Call]:
        """Oldest first. A trace whose proxy's spans are missing counts as its daemon saw it.

        Where the daemon could not tell when the model began and Triton's spans do, `backend` is split by them.
        """
        of_trace: dict[str, list[Call]] = {}
        for call in self._at_daemon.values():
            of_trace.setdefault(call.trace_id, []).append(call)
        calls = [_with_models(call, of_trace.get(call.trace_id, ())) for call in self._at_proxy.values()]
        seen = {call.trace_id for call in calls}
        calls += [call for trace_id, there in of_trace.items() if trace_id not in seen for call in there]
        calls = [_with_model_time(call, self._model_times.of(call.trace_id)) for call in calls]
        return sorted(calls, key=lambda call: (call.start_ns, call.span_id))

    def traces_beginning(self, prefix: str) -> list[str]:
        """Ids of the traces that begin so, sorted."""
        return sorted(trace_id for trace_id in self._traces if trace_id.startswith(prefix.lower()))


def call_in(spans: Sequence[Span]) -> Call:
    """The first call in a trace that has any spans; where it has only others' spans, the longest stands for it."""
    collector = CallCollector()
    for span in spans:
        collector.add(span)
    return next(iter(collector.calls()), None) or call_of(max(spans, key=lambda span: span.duration_ms))


def _with_models(call: Call, at_daemon: Iterable[Call]) -> Call:
    """Its models from the daemon's span, where only that names them; of several calls in a trace, no telling which."""
    known = {(other.asked, other.answered) for other in at_daemon if other.answered}
    if call.answered or len(known) != 1:
        return call
    ((asked, answered),) = known
    return replace(call, asked=asked, answered=answered)


def _with_model_time(call: Call, time: ModelTime | None) -> Call:
    """With `backend` as the time in the model's queue and the rest."""
    if time is None or BACKEND not in call.stages:
        return call
    queue_ms = min(time.queue_ms, call.stages[BACKEND])
    split = {MODEL_QUEUE: queue_ms, MODEL_COMPUTE: call.stages[BACKEND] - queue_ms}
    stages: dict[str, float] = {}
    missed_at = call.missed_at
    for name, took_ms in call.stages.items():
        if name != BACKEND:
            stages[name] = took_ms
            continue
        if call.missed_at == BACKEND and call.deadline_ms is not None:
            missed_at = MODEL_QUEUE if sum(stages.values()) + queue_ms > call.deadline_ms else MODEL_COMPUTE
        stages |= split
    return replace(call, stages=stages, missed_at=missed_at)


def worst_first(calls: Iterable[Call]) -> list[Call]:
    """Those furthest past their deadlines first; where none missed, the latest first."""
    missed = [call for call in calls if call.missed]
    rest = [call for call in calls if not call.missed]
    missed.sort(key=lambda call: call.slack_ms if call.slack_ms is not None else 0.0)
    return missed + sorted(rest, key=lambda call: -call.start_ns)
