from collections.abc import Callable

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from policies.traffic import Deadline
from proxy.errors import Code
from proxy.telemetry import names
from proxy.telemetry.stages import StageReport
from proxy.tunnel.exchange import CallHead, CallStatus, Metadata
from tests.unit.telemetry.recorded import Recorded

OK = CallStatus(Code.OK)
CALLERS = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class StoppedClock:
    def now(self) -> float:
        return 100.0


class Process(Recorded):
    """Tracing whose monotonic clock stands at 100 s, when the wall clock reads 1 700 000 000 s."""

    def __init__(
        self, service_name: str = "headway-proxy", *, withholds_from: str = "", propagates: bool = True
    ) -> None:
        super().__init__(
            StoppedClock(),
            service_name=service_name,
            wall_ns_at_zero=1_699_999_900 * 10**9,
            withholds_from=withholds_from,
            propagates=propagates,
        )


def head(metadata: Metadata = (), *, accepted_at: float = 100.0, deadline: Deadline | None = None) -> CallHead:
    return CallHead(
        "/inference.GRPCInferenceService/ModelInfer",
        metadata,
        traffic_class="realtime",
        deadline=deadline or Deadline(),
        peer="ipv4:10.0.0.7:51234",
        accepted_at=accepted_at,
    )


def header(metadata: Metadata, key: str) -> str:
    [value] = [value for name, value in metadata if name == key]
    assert isinstance(value, str)
    return value


def test_one_trace_from_the_client_to_the_backend() -> None:
    proxy, daemon = Process("headway-proxy"), Process("headway-daemon")

    arrived = head((("traceparent", CALLERS), ("x-one", "1")))
    proxy_in = proxy.tracing.server_span(arrived, address="0.0.0.0:8001")
    proxy_out = proxy_in.child(address="gpu-host:4433")
    carried = head(proxy_out.inject(arrived.metadata))
    daemon_in = daemon.tracing.server_span(carried, address="[::]:4433")
    daemon_out = daemon_in.child(address="localhost:8101")
    to_triton = daemon_out.inject(carried.metadata)
    for span in (daemon_out, daemon_in, proxy_out, proxy_in):
        span.finish(OK)

    client_side = {span.kind: span for span in proxy.spans()}
    model_side = {span.kind: span for span in daemon.spans()}
    way = [
        client_side[SpanKind.SERVER],
        client_side[SpanKind.CLIENT],
        model_side[SpanKind.SERVER],
        model_side[SpanKind.CLIENT],
    ]
    assert {f"{span.context.trace_id:032x}" for span in way} == {"4bf92f3577b34da6a3ce929d0e0e4736"}
    assert proxy_in.trace_id == daemon_out.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    parents = [span.parent.span_id for span in way if span.parent]
    assert parents == [0x00F067AA0BA902B7, *(span.context.span_id for span in way[:3])]
    assert len({span.context.span_id for span in way}) == 4
    assert header(to_triton, "traceparent") == (f"00-4bf92f3577b34da6a3ce929d0e0e4736-{way[3].context.span_id:016x}-01")
    assert header(to_triton, "x-one") == "1"
    assert {span.name for span in way} == {"inference.GRPCInferenceService/ModelInfer"}
    assert [span.resource.attributes["service.name"] for span in way] == ["headway-proxy"] * 2 + ["headway-daemon"] * 2
    assert [span.attributes["server.address"] for span in way if span.attributes] == [
        "0.0.0.0",
        "gpu-host",
        "::",
        "localhost",
    ]


def test_attributes_of_a_served_call() -> None:
    process = Process()
    deadline = Deadline(target_at=101.0, limit_at=105.0)
    span = process.tracing.server_span(head(accepted_at=100.0, deadline=deadline), address="0.0.0.0:8001")
    span.set(names.POLICY, "round_robin")
    span.set(names.MODEL, "large")
    span.set(names.MODEL, "small")
    span.finish(OK, at=101.25)
    [recorded] = process.spans()
    assert recorded.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": "inference.GRPCInferenceService/ModelInfer",
        "rpc.status_code": "OK",
        "headway.class": "realtime",
        "headway.deadline_ms": 1000.0,
        "headway.deadline.slack_ms.start": 1000.0,
        "headway.deadline.slack_ms": -250.0,
        "headway.policy": "round_robin",
        "headway.model": "small",
        "server.address": "0.0.0.0",
        "server.port": 8001,
        "network.peer.address": "10.0.0.7",
        "network.peer.port": 51234,
    }
    assert recorded.status.status_code is StatusCode.UNSET
    assert recorded.kind is SpanKind.SERVER
    assert recorded.parent is None


def test_a_call_without_a_deadline_has_no_slack() -> None:
    process = Process()
    process.tracing.server_span(head()).finish(OK)
    [recorded] = process.spans()
    assert not {name for name in recorded.attributes or {} if "slack" in name or "deadline" in name}


def test_times_are_wall_times_by_one_anchor() -> None:
    process = Process()
    span = process.tracing.server_span(head(accepted_at=99.5))
    span.event(names.ENQUEUE, at=99.75, attributes={"headway.queue": 3})
    span.event(names.DISPATCH)
    span.finish(OK, at=101.0)
    [recorded] = process.spans()
    assert recorded.start_time == 1_699_999_999_500_000_000
    assert recorded.end_time == 1_700_000_001_000_000_000
    assert [(event.name, event.timestamp, dict(event.attributes or {})) for event in recorded.events] == [
        ("enqueue", 1_699_999_999_750_000_000, {"headway.queue": 3}),
        ("dispatch", 1_700_000_000_000_000_000, {}),
    ]


def test_events_are_bounded() -> None:
    process = Process()
    span = process.tracing.server_span(head())
    for _ in range(1000):
        span.event(names.DISPATCH)
    span.finish(OK)
    [recorded] = process.spans()
    assert len(recorded.events) == 128


SERVER_ERRORS = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}


@pytest.mark.parametrize("code", list(Code))
def test_which_statuses_are_errors(code: Code) -> None:
    process = Process()
    served = process.tracing.server_span(head())
    made = served.child()
    made.finish(CallStatus(code, "went wrong"))
    served.finish(CallStatus(code, "went wrong"))
    made_span, served_span = process.spans()

    def outcome(span: ReadableSpan) -> tuple[StatusCode, str | None, object]:
        return span.status.status_code, span.status.description, (span.attributes or {}).get("error.type")

    fine = (StatusCode.UNSET, None, None)
    error = (StatusCode.ERROR, "went wrong", code.name)
    assert outcome(made_span) == (fine if code.name == "OK" else error)
    assert outcome(served_span) == (error if code.name in SERVER_ERRORS else fine)
    assert (served_span.attributes or {})["rpc.status_code"] == code.name


@pytest.mark.parametrize(
    ("ended_at", "code", "status"),
    [
        (101.9, "CANCELLED", StatusCode.UNSET),
        (101.996, "DEADLINE_EXCEEDED", StatusCode.ERROR),
        (103.0, "DEADLINE_EXCEEDED", StatusCode.ERROR),
    ],
)
def test_a_call_cancelled_at_its_grpc_deadline_is_marked_so(ended_at: float, code: str, status: StatusCode) -> None:
    process = Process()
    deadline = Deadline(target_at=101.0, limit_at=102.0)
    process.tracing.server_span(head(deadline=deadline)).finish(CallStatus(Code.CANCELLED, "gone"), at=ended_at)
    [recorded] = process.spans()
    assert (recorded.attributes or {})["rpc.status_code"] == code
    assert recorded.status.status_code is status


def test_a_status_outside_grpcs_list_is_told_by_number() -> None:
    process = Process()
    process.tracing.server_span(head()).child().finish(CallStatus(77))
    [recorded] = process.spans()
    assert (recorded.attributes or {})["rpc.status_code"] == "77"
    assert recorded.status.status_code is StatusCode.ERROR


def test_the_first_finish_counts() -> None:
    process = Process()
    span = process.tracing.server_span(head())
    assert "SERVER inference.GRPCInferenceService/ModelInfer" in repr(span)
    assert repr(span).endswith("open>")
    span.finish(OK)
    span.finish(CallStatus(Code.CANCELLED))
    assert repr(span).endswith("finished>")
    [recorded] = process.spans()
    assert (recorded.attributes or {})["rpc.status_code"] == "OK"


def test_texts_of_peers_are_cut() -> None:
    process = Process()
    span = process.tracing.server_span(head())
    span.set(names.UNKNOWN_CLASS, "x" * 100_000)
    span.finish(CallStatus(Code.INTERNAL, "y" * 100_000))
    [recorded] = process.spans()
    assert (recorded.attributes or {})["headway.class.unknown"] == "x" * 256
    assert recorded.status.description == "y" * 256


def test_a_bad_context_starts_a_new_trace() -> None:
    process = Process()
    span = process.tracing.server_span(head((("traceparent", "00-zero-01"), ("tracestate", "a=1"))))
    sent = span.inject((("traceparent", "00-zero-01"), ("tracestate", "a=1")))
    span.finish(OK)
    [recorded] = process.spans()
    assert recorded.parent is None
    assert sent == (("traceparent", f"00-{recorded.context.trace_id:032x}-{recorded.context.span_id:016x}-01"),)


class TestMissedDeadlines:
    """Kept, whatever the sampler says: the caller's word here is not to sample."""

    unsampled = head((("traceparent", CALLERS[:-1] + "0"),), deadline=Deadline(101.0, 102.0))

    def test_spans_wait_for_the_end_of_the_call(self) -> None:
        process = Process()
        span = process.tracing.server_span(self.unsampled, address="0.0.0.0:8001")
        onward = span.child(address="gpu-host:4433")
        onward.event(names.DISPATCH)
        onward.finish(OK, at=101.0)
        assert not span.recording
        span.set(names.MISSED_AT, "backend")
        span.finish(OK, at=101.5)
        made, served = process.spans()
        assert (made.kind, served.kind) == (SpanKind.CLIENT, SpanKind.SERVER)
        assert made.parent is not None
        assert made.parent.span_id == served.context.span_id
        assert [event.name for event in made.events] == ["dispatch"]
        assert (served.attributes or {})["headway.deadline.missed_at"] == "backend"
        assert (served.end_time or 0) - (made.end_time or 0) == 500_000_000

    def test_of_a_call_on_time_nothing_is_exported(self) -> None:
        process = Process()
        span = process.tracing.server_span(self.unsampled)
        span.child().finish(OK)
        span.finish(OK)
        span.set(names.MISSED_AT, "too late to say so")
        span.finish(OK)
        assert process.spans() == ()

    def test_what_is_sampled_is_exported_once(self) -> None:
        process = Process()
        span = process.tracing.server_span(head(deadline=Deadline(101.0, 102.0)))
        recording = [span.recording]
        span.child().finish(OK)
        span.set(names.MISSED_AT, "delivery")
        span.finish(OK, at=101.5)
        recording.append(span.recording)
        assert recording == [True, False]
        assert len(process.spans()) == 2

    @pytest.mark.parametrize("sampler", ["always_off", "parentbased_always_off"])
    def test_off_is_off(self, sampler: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
        process = Process()
        span = process.tracing.server_span(self.unsampled)
        span.set(names.MISSED_AT, "backend")
        span.finish(OK, at=101.5)
        assert process.spans() == ()

    def test_a_ratio_keeps_them(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
        monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
        process = Process()
        for missed in (True, False):
            span = process.tracing.server_span(head())
            if missed:
                span.set(names.MISSED_AT, "backend")
            span.finish(OK)
        assert len(process.spans()) == 1


def test_slack_is_what_the_account_says() -> None:
    """Of an answer with many messages that of the tightest one, not that of the end."""
    process = Process()
    span = process.tracing.server_span(head(deadline=Deadline(101.0, 105.0)))
    span.set(names.SLACK, 12.5)
    span.finish(OK, at=104.0)
    [recorded] = process.spans()
    assert (recorded.attributes or {})["headway.deadline.slack_ms"] == 12.5


def test_a_call_that_its_caller_does_not_sample_is_not_recorded() -> None:
    process = Process()
    arrived = head((("traceparent", CALLERS[:-1] + "0"),))
    span = process.tracing.server_span(arrived)
    onward = span.child(address="gpu-host:4433")
    onward.set(names.MODEL, "small")
    onward.event(names.DISPATCH)
    parent = header(onward.inject(arrived.metadata), "traceparent")
    onward.finish(OK)
    span.finish(OK)
    assert span.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert parent.startswith("00-4bf92f3577b34da6a3ce929d0e0e4736-")
    assert parent.endswith("-00")
    assert not span.recording
    assert process.spans() == ()


def test_a_span_records_until_it_is_finished() -> None:
    span = Process().tracing.server_span(head())
    assert span.recording
    span.finish(OK)
    assert not span.recording


def test_the_environment_names_service_and_sampler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "edge-7")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=trial")
    process = Process()
    process.tracing.server_span(head()).finish(OK)
    [recorded] = process.spans()
    assert recorded.resource.attributes["service.name"] == "edge-7"
    assert recorded.resource.attributes["deployment.environment.name"] == "trial"
    assert recorded.resource.attributes["service.version"] == "1.2"

    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    process = Process()
    span = process.tracing.server_span(head())
    assert header(span.inject(()), "traceparent").endswith("-00")
    span.finish(OK)
    assert process.spans() == ()


@pytest.mark.parametrize("finish", [lambda span: span.finish(OK), lambda span: None])
def test_statistics_count_what_was_exported(finish: Callable[[object], None]) -> None:
    process = Process()
    finish(process.tracing.server_span(head()))
    spans = process.spans()
    assert process.tracing.statistics().exported == len(spans)
    assert repr(process.tracing).startswith("<RecordingTracing headway-proxy <SpanQueue closing")


class TestNotSampled:
    """What the callee is told."""

    arrived = head((("traceparent", CALLERS[:-1] + "0"), ("x-one", "1")))

    @pytest.mark.parametrize("sampler", ["parentbased_always_on", "always_off"])
    def test_who_would_record_it_all_the_same_hears_of_no_trace(
        self, sampler: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
        process = Process(withholds_from="inference.GRPCInferenceService/")
        span = process.tracing.server_span(self.arrived)
        assert span.child().inject(self.arrived.metadata) == (("x-one", "1"),)

    def test_others_hear_that_it_is_not(self) -> None:
        process = Process(withholds_from="other.Service/")
        span = process.tracing.server_span(self.arrived)
        assert header(span.child().inject(self.arrived.metadata), "traceparent").endswith("-00")

    def test_of_a_sampled_one_everybody_hears(self) -> None:
        process = Process(withholds_from="inference.GRPCInferenceService/")
        span = process.tracing.server_span(head())
        assert header(span.child().inject(()), "traceparent").endswith("-01")


def test_without_propagation_contexts_are_metadata_as_any_other() -> None:
    process = Process(propagates=False)
    arrived = head((("traceparent", CALLERS),))
    span = process.tracing.server_span(arrived)
    assert span.inject(arrived.metadata) == arrived.metadata
    assert span.trace_id != CALLERS[3:35]


def test_an_event_may_be_put_together_when_it_is_exported() -> None:
    process = Process()
    asked: list[str] = []

    def attributes() -> dict[str, str]:
        asked.append("once")
        return {"headway.policy": "greedy"}

    for flag in ("1", "0"):
        span = process.tracing.server_span(head((("traceparent", CALLERS[:-1] + flag),)))
        span.event(names.DECISION, attributes=attributes)
        span.finish(OK)
    [recorded] = process.spans()
    assert [dict(event.attributes or {}) for event in recorded.events] == [{"headway.policy": "greedy"}]
    assert asked == ["once"]


def test_the_stages_of_a_call_are_attributes_and_events() -> None:
    process = Process()
    span = process.tracing.server_span(head(deadline=Deadline(101.0, 105.0)))
    span.stages(StageReport([("receive", 100.25), ("uplink_wait", 100.5)], 100.0, 101.0, proxy=True))
    span.finish(OK, at=100.5)
    [recorded] = process.spans()
    assert (recorded.attributes or {})["headway.stage.uplink_wait_ms"] == 250.0
    assert [(event.name, dict(event.attributes or {})) for event in recorded.events] == [
        ("receive", {"headway.deadline.slack_ms": 750.0}),
        ("uplink_wait", {"headway.deadline.slack_ms": 500.0}),
    ]
