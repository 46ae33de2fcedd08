import io
from pathlib import Path

from rich.console import Console

from proxy.demo.trace_view import draw, read_spans
from tests.unit.tracefile.otlp import TRACE, TRITON, call_lines, line, span


def test_a_trace_out_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    earlier = line("earlier", span("e", "", 0, 1))
    other, in_capitals = line("other", span("x", "", 1, 2, trace="f" * 32)), span("9", "", 1, 2, trace=TRACE.upper())
    torn = '{"resourceSpans":[{"traceId":"' + TRACE
    file.write_text(earlier + "".join(call_lines()) + other + line(TRITON, in_capitals) + torn)
    spans = read_spans(file, TRACE, offset=len(earlier))
    assert [span.service for span in spans].count(TRITON) == 4
    assert len(spans) == 8
    console = Console(file=io.StringIO(), width=80)
    console.print(draw(spans, width=80))
    assert isinstance(console.file, io.StringIO)
    assert f"trace {TRACE}" in console.file.getvalue()
    assert "uplink transfer" in console.file.getvalue()


def test_a_trace_that_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    file.write_text(line("headway-proxy", span("x", "", 1, 2, trace="f" * 32)))
    assert read_spans(file, TRACE) == []
