from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from proxy.telemetry.otlp_grpc import OtlpGrpc
from proxy.telemetry.span_record import Origin
from tests.unit.telemetry.collectors import grpc_collector, spans_of
from tests.unit.telemetry.recorded import TRACE_ID, finished

ORIGIN = Origin(Resource({"service.name": "headway-proxy"}), InstrumentationScope("headway", "1.2"), 0)


def test_blocks_go_in_one_request() -> None:
    with grpc_collector() as collector:
        sink = OtlpGrpc(f"http://127.0.0.1:{collector.port}", ORIGIN)
        assert repr(sink) == f"<OtlpGrpc http://127.0.0.1:{collector.port}>"
        assert sink.export([sink.encode([finished("a"), finished("b")]), sink.encode([finished("c")])])
        sink.close()
        spans = list(spans_of(collector.received.get(timeout=5)))
    assert [(span.name, span.trace_id, span.service) for span in spans] == [
        (name, TRACE_ID, "headway-proxy") for name in "abc"
    ]


def test_who_is_closed_takes_no_more() -> None:
    sink = OtlpGrpc("http://127.0.0.1:9", ORIGIN)
    sink.close()
    assert not sink.export([sink.encode([finished()])])
