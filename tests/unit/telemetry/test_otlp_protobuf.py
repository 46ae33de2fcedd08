from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from policies.traffic import Deadline
from proxy.telemetry.otlp_protobuf import OtlpProtobuf
from proxy.telemetry.propagation import TraceContext
from proxy.telemetry.sdk import readable_span
from proxy.telemetry.span_record import SpanRecord
from proxy.telemetry.stages import STAGES, StageReport
from tests.unit.telemetry.recorded import TRACE_ID, finished
from tests.unit.telemetry.test_otlp_json import ORIGIN, full


def routed() -> SpanRecord:
    span = finished(parent=TraceContext(TRACE_ID, "0" * 13 + "abc", 1), deadline=Deadline(101.0, 105.0))
    stages = [(name, 100.0123456 + number / 100) for number, name in enumerate(STAGES)]
    span.report = StageReport(stages, 100.0, 100.05, proxy=True)
    return span


def test_it_says_what_the_sdk_says() -> None:
    spans = [full(), routed(), finished(), finished("pkg.Service/" + "m" * 300)]
    ours = ExportTraceServiceRequest.FromString(OtlpProtobuf(ORIGIN).block(spans))
    sdks = encode_spans([readable_span(span, ORIGIN) for span in spans])
    for span in ours.resource_spans[0].scope_spans[0].spans:
        span.flags &= ~0xFF  # W3C's, which the SDK leaves out
    for request in (ours, sdks):  # whose order says nothing
        for span in request.resource_spans[0].scope_spans[0].spans:
            span.attributes.sort(key=lambda one: one.key)
    assert ours == sdks


def test_flags_are_w3cs_and_say_where_the_parent_is() -> None:
    [resource_spans] = ExportTraceServiceRequest.FromString(
        OtlpProtobuf(ORIGIN).block([routed(), full()])
    ).resource_spans
    assert [span.flags for span in resource_spans.scope_spans[0].spans] == [0x301, 0x101]


def test_blocks_that_follow_each_other_are_one_request() -> None:
    encoding = OtlpProtobuf(ORIGIN)
    request = ExportTraceServiceRequest.FromString(encoding.block([finished("a")]) + encoding.block([finished("b")]))
    assert [one.scope_spans[0].spans[0].name for one in request.resource_spans] == ["a", "b"]


def test_what_is_kept_encoded_is_bounded() -> None:
    encoding = OtlpProtobuf(ORIGIN)
    for number in range(3000):
        encoding.block([finished(f"pkg.Service/Method{number}")])
    assert repr(encoding) == "<OtlpProtobuf 952 known>"
