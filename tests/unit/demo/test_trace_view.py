import json
from pathlib import Path
from typing import Any

from proxy.demo.trace_view import describe, read_spans

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def line(service: str, *spans: dict[str, Any]) -> str:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}) + "\n"


def span(
    span_id: str, parent: str, start_ms: int, end_ms: int, *, trace: str = TRACE, kind: int = 2, **attributes: str
) -> dict[str, Any]:
    return {
        "traceId": trace,
        "spanId": span_id,
        "parentSpanId": parent,
        "kind": kind,
        "name": "inference.GRPCInferenceService/ModelInfer",
        "startTimeUnixNano": str(1_700_000_000_000_000_000 + start_ms * 1_000_000),
        "endTimeUnixNano": str(1_700_000_000_000_000_000 + end_ms * 1_000_000),
        "attributes": [
            {"key": key.replace("_", "."), "value": {"stringValue": value}} for key, value in attributes.items()
        ],
    }


def test_a_trace_out_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    file.write_text(
        line("earlier", span("e", "", 0, 1))
        + line("headway-daemon", span("c", "b", 3, 8, headway_model="llm-small", headway_policy="round_robin"))
        + line(
            "headway-proxy", span("x", "", 1, 2, trace="f" * 32), span("b", "a", 2, 9, kind=3), span("a", "9", 1, 10)
        )
        + line("triton-inference-server", span("D", "C", 4, 7, trace=TRACE.upper()))
        + '{"resourceSpans":[{"traceId":"'
        + TRACE
    )
    spans = read_spans(file, TRACE, offset=len(line("earlier", span("e", "", 0, 1))))
    assert describe(spans) == [
        "     0.0 ms      9.0 ms  headway-proxy: GRPCInferenceService/ModelInfer",
        "     1.0 ms      7.0 ms    headway-proxy → GRPCInferenceService/ModelInfer",
        (
            "     2.0 ms      5.0 ms      headway-daemon: GRPCInferenceService/ModelInfer"
            "  (model llm-small, policy round_robin)"
        ),
        "     3.0 ms      3.0 ms        triton-inference-server: GRPCInferenceService/ModelInfer",
    ]


def test_a_trace_that_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    file.write_text(line("headway-proxy", span("x", "", 1, 2, trace="f" * 32)))
    assert describe(read_spans(file, TRACE)) == []
