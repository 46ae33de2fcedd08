from proxy.telemetry.tracing import NO_TRACING, SpanStatistics
from proxy.tunnel.exchange import CallHead, CallStatus


def test_without_tracing_a_callers_context_passes_untouched() -> None:
    metadata = (("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), ("x-one", "1"))
    span = NO_TRACING.server_span(CallHead("/s/m", metadata), address="localhost:8001")
    onward = span.child(address="localhost:4433")
    onward.set("headway.model", "small")
    onward.event("dispatch", at=1.0)
    assert onward.inject(metadata) is metadata
    onward.finish(CallStatus(0))
    span.finish(CallStatus(0))
    assert span.trace_id == ""
    assert not span.recording
    NO_TRACING.close()
    assert NO_TRACING.statistics() == SpanStatistics(exported=0, failed=0, dropped=0, waiting=0)
