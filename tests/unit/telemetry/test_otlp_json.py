import json

from google.protobuf.json_format import Parse
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from policies.traffic import Deadline
from proxy.errors import Code
from proxy.telemetry.otlp_json import OtlpJson
from proxy.telemetry.propagation import TraceContext
from proxy.telemetry.sdk import readable_span
from proxy.telemetry.span_record import CLIENT, Event, Origin, SpanRecord
from proxy.telemetry.stages import StageReport
from proxy.tunnel.exchange import CallStatus
from tests.unit.telemetry.recorded import TRACE_ID, finished

ORIGIN = Origin(
    Resource({"service.name": "headway-proxy", "process.pid": 7}),
    InstrumentationScope("headway", "1.2"),
    1_700_000_000_000_000_000,
)


def full() -> SpanRecord:
    span = finished(
        parent=TraceContext(TRACE_ID, "0000000000000abc", 1),
        kind=CLIENT,
        deadline=Deadline(100.125, 105.0),
        status=CallStatus(Code.INTERNAL, "went wrong"),
        state="congo=t61",
    )
    span.attributes = {
        "text": 'say "ü"',
        "whole": 9_007_199_254_740_993,
        "real": -250.5,
        "truth": True,
        "endless": float("inf"),
        "less": float("-inf"),
    }
    span.events = [Event("dispatch", 100.0625, None, {"n": 1}), Event("drop", 100.125), Event("late", 100.25, -125.0)]
    return span


def test_the_format_to_the_letter() -> None:
    assert OtlpJson(ORIGIN).line([full()]) == (
        b'{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"headway-proxy"}},'
        b'{"key":"process.pid","value":{"intValue":"7"}}]},'
        b'"scopeSpans":[{"scope":{"name":"headway","version":"1.2"},"spans":[{'
        b'"traceId":"4bf92f3577b34da6a3ce929d0e0e4736","spanId":"00f067aa0ba902b7","flags":257,'
        b'"name":"pkg.Service/Method","kind":3,'
        b'"startTimeUnixNano":"1700000100000000000","endTimeUnixNano":"1700000100250000000","attributes":['
        b'{"key":"rpc.system.name","value":{"stringValue":"grpc"}},'
        b'{"key":"rpc.method","value":{"stringValue":"pkg.Service/Method"}},'
        b'{"key":"headway.class","value":{"stringValue":"bulk"}},'
        b'{"key":"server.address","value":{"stringValue":"0.0.0.0"}},'
        b'{"key":"server.port","value":{"intValue":"8001"}},'
        b'{"key":"rpc.status_code","value":{"stringValue":"INTERNAL"}},'
        b'{"key":"error.type","value":{"stringValue":"INTERNAL"}},'
        b'{"key":"headway.deadline_ms","value":{"doubleValue":125.000}},'
        b'{"key":"headway.deadline.slack_ms.start","value":{"doubleValue":125.000}},'
        b'{"key":"headway.deadline.slack_ms","value":{"doubleValue":-125.000}},'
        b'{"key":"text","value":{"stringValue":"say \\"\\u00fc\\""}},'
        b'{"key":"whole","value":{"intValue":"9007199254740993"}},'
        b'{"key":"real","value":{"doubleValue":-250.5}},'
        b'{"key":"truth","value":{"boolValue":true}},'
        b'{"key":"endless","value":{"doubleValue":"Infinity"}},'
        b'{"key":"less","value":{"doubleValue":"-Infinity"}}],'
        b'"status":{"code":2,"message":"went wrong"},"parentSpanId":"0000000000000abc","traceState":"congo=t61",'
        b'"events":[{"timeUnixNano":"1700000100062500000","name":"dispatch",'
        b'"attributes":[{"key":"n","value":{"intValue":"1"}}]},'
        b'{"timeUnixNano":"1700000100125000000","name":"drop","attributes":[]},'
        b'{"timeUnixNano":"1700000100250000000","name":"late",'
        b'"attributes":[{"key":"headway.deadline.slack_ms","value":{"doubleValue":-125.000}}]}]}]}]}]}\n'
    )


def test_it_says_what_the_sdk_says() -> None:
    """Read by protobuf; but for ids, which OTLP writes in hexadecimal, where protobuf's JSON has base64, and for flags:
    the SDK leaves out W3C's.
    """
    routed = finished(parent=TraceContext(TRACE_ID, "0000000000000abc", 1), deadline=Deadline(101.0, 105.0))
    routed.report = StageReport([("receive", 100.0), ("uplink_wait", 100.1234567)], 100.0, 101.0, proxy=True)
    spans = [full(), routed, finished()]
    ours = Parse(OtlpJson(ORIGIN).line(spans), ExportTraceServiceRequest())
    sdks = encode_spans([readable_span(span, ORIGIN) for span in spans])
    for request in (ours, sdks):
        for span in request.resource_spans[0].scope_spans[0].spans:
            for field in ("trace_id", "span_id", "parent_span_id", "flags"):
                span.ClearField(field)
    assert ours == sdks


def test_a_root_span_has_no_parent_and_a_servers_parent_is_remote() -> None:
    line = json.loads(OtlpJson(ORIGIN).line([finished(), finished(parent=TraceContext(TRACE_ID, "1" * 16))]))
    root, child = line["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert "parentSpanId" not in root
    assert (root["flags"], child["flags"]) == (0x101, 0x301)


def test_what_is_kept_encoded_is_bounded() -> None:
    encoding = OtlpJson(ORIGIN)
    for number in range(3000):
        encoding.line([finished(f"pkg.Service/Method{number}")])
    assert repr(encoding) == "<OtlpJson 952 known>"
