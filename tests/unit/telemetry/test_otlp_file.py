import json
import threading
from pathlib import Path

import pytest
from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from proxy.telemetry.otlp_file import OtlpFileExporter, encode_lines

PROXY = Resource({"service.name": "headway-proxy"})
DAEMON = Resource({"service.name": "headway-daemon"})
SCOPE = InstrumentationScope("headway", "1.2")


def span(name: str = "pkg.Service/Method", resource: Resource = PROXY) -> ReadableSpan:
    return ReadableSpan(
        name,
        context=SpanContext(0xA, 0xB, is_remote=False, trace_flags=TraceFlags(1)),
        resource=resource,
        kind=SpanKind.SERVER,
        start_time=1_700_000_000_000_000_000,
        end_time=1_700_000_000_000_000_001,
        instrumentation_scope=SCOPE,
    )


FULL = ReadableSpan(
    "pkg.Service/Method",
    context=SpanContext(
        0x4BF92F3577B34DA6A3CE929D0E0E4736,
        0xF067AA0BA902B7,
        is_remote=False,
        trace_flags=TraceFlags(1),
        trace_state=TraceState([("congo", "t61")]),
    ),
    parent=SpanContext(0x4BF92F3577B34DA6A3CE929D0E0E4736, 0xABC, is_remote=True, trace_flags=TraceFlags(1)),
    resource=PROXY,
    attributes={
        "text": 'say "ü"',
        "whole": 9_007_199_254_740_993,
        "real": -250.5,
        "truth": True,
        "endless": float("inf"),
        "nothing": float("nan"),
        "list": ("a", "b"),
    },
    events=[Event("dispatch", {"n": 1}, 1_700_000_000_250_000_000)],
    kind=SpanKind.CLIENT,
    status=Status(StatusCode.ERROR, "went wrong"),
    start_time=1_700_000_000_000_000_000,
    end_time=1_700_000_001_000_000_001,
    instrumentation_scope=SCOPE,
)


def test_the_format_to_the_letter() -> None:
    [line] = encode_lines([FULL])
    assert line == (
        b'{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"headway-proxy"}}]},'
        b'"scopeSpans":[{"scope":{"name":"headway","version":"1.2"},"spans":[{'
        b'"traceId":"4bf92f3577b34da6a3ce929d0e0e4736","spanId":"00f067aa0ba902b7","flags":769,'
        b'"name":"pkg.Service/Method","kind":3,'
        b'"startTimeUnixNano":"1700000000000000000","endTimeUnixNano":"1700000001000000001","attributes":['
        b'{"key":"text","value":{"stringValue":"say \\"\\u00fc\\""}},'
        b'{"key":"whole","value":{"intValue":"9007199254740993"}},'
        b'{"key":"real","value":{"doubleValue":-250.5}},'
        b'{"key":"truth","value":{"boolValue":true}},'
        b'{"key":"endless","value":{"doubleValue":"Infinity"}},'
        b'{"key":"nothing","value":{"doubleValue":"NaN"}},'
        b'{"key":"list","value":{"arrayValue":{"values":[{"stringValue":"a"},{"stringValue":"b"}]}}}],'
        b'"status":{"code":2,"message":"went wrong"},"parentSpanId":"0000000000000abc","traceState":"congo=t61",'
        b'"events":[{"timeUnixNano":"1700000000250000000","name":"dispatch",'
        b'"attributes":[{"key":"n","value":{"intValue":"1"}}]}]}]}]}]}\n'
    )


def test_protobufs_own_reader_understands_it() -> None:
    """But for the ids: OTLP writes them in hexadecimal, where protobuf's JSON has base64."""
    request = Parse(encode_lines([FULL])[0], ExportTraceServiceRequest())
    [read] = request.resource_spans[0].scope_spans[0].spans
    assert read.name == "pkg.Service/Method"
    assert read.attributes[1].value.int_value == 9_007_199_254_740_993
    assert read.end_time_unix_nano == 1_700_000_001_000_000_001
    assert read.events[0].time_unix_nano == 1_700_000_000_250_000_000


def test_a_root_span_has_no_parent_and_a_line_each_resource(tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    exporter = OtlpFileExporter(file)
    assert exporter.export([span("a"), span("b", DAEMON), span("c")]) is SpanExportResult.SUCCESS
    assert exporter.export([span("d")]) is SpanExportResult.SUCCESS
    assert exporter.force_flush()
    exporter.shutdown()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    read = [[one["name"] for one in line["resourceSpans"][0]["scopeSpans"][0]["spans"]] for line in lines]
    assert read == [["a", "c"], ["b"], ["d"]]
    assert "parentSpanId" not in lines[2]["resourceSpans"][0]["scopeSpans"][0]["spans"][0]


def test_several_writers_share_a_file(tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    batch = [span("x" * 2000) for _ in range(8)]

    def write() -> None:
        exporter = OtlpFileExporter(file)
        for _ in range(50):
            exporter.export(batch)
        exporter.shutdown()

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(10)
    lines = file.read_text().splitlines()
    assert len(lines) == 200
    assert all(len(json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]) == 8 for line in lines)


def test_a_full_file_moves_aside_once(tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    one, other = OtlpFileExporter(file, limit_bytes=1000), OtlpFileExporter(file, limit_bytes=1000)
    for name in ("a", "b", "c"):  # a line is somewhat over 400 bytes long
        one.export([span(name)])
    assert not (tmp_path / "traces.jsonl.1").exists()
    other.export([span("d")])
    one.export([span("e")])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["traces.jsonl", "traces.jsonl.1"]
    assert len((tmp_path / "traces.jsonl.1").read_text().splitlines()) == 3
    assert ['"name":"d"' in line or '"name":"e"' in line for line in file.read_text().splitlines()] == [True, True]
    one.shutdown()
    other.shutdown()


def test_a_file_that_was_moved_away_is_made_again(tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    exporter = OtlpFileExporter(file)
    exporter.export([span("a")])
    file.rename(tmp_path / "kept")
    exporter.export([span("b")])
    exporter.shutdown()
    assert '"name":"b"' in file.read_text()
    assert len((tmp_path / "kept").read_text().splitlines()) == 1


def test_no_place_to_write_is_told_once_and_again_after_it_worked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "later"
    exporter = OtlpFileExporter(directory / "traces.jsonl")
    for _ in range(3):
        assert exporter.export([span()]) is SpanExportResult.FAILURE
    assert caplog.messages == [
        f"Spans are lost until {directory}/traces.jsonl can be written again: No such file or directory"
    ]
    assert repr(exporter) == f"<OtlpFileExporter {directory}/traces.jsonl failing>"
    directory.mkdir()
    assert exporter.export([span()]) is SpanExportResult.SUCCESS
    assert repr(exporter) == f"<OtlpFileExporter {directory}/traces.jsonl>"
    exporter.shutdown()


def test_a_full_disk(caplog: pytest.LogCaptureFixture) -> None:
    exporter = OtlpFileExporter("/dev/full")
    assert exporter.export([span()]) is SpanExportResult.FAILURE
    assert exporter.export([span()]) is SpanExportResult.FAILURE
    assert caplog.messages == ["Spans are lost until /dev/full can be written again: No space left on device"]
    exporter.shutdown()


def test_a_line_cut_short_spoils_no_other(tmp_path: Path) -> None:
    """RLIMIT_FSIZE cuts a write short as a full disk does."""
    resource = pytest.importorskip("resource")
    file = tmp_path / "traces.jsonl"
    exporter = OtlpFileExporter(file)
    exporter.export([span("a")])
    size = file.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, hard))
    try:
        assert exporter.export([span("b")]) is SpanExportResult.FAILURE
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert exporter.export([span("c")]) is SpanExportResult.SUCCESS
    exporter.shutdown()
    first, cut, last = file.read_text().splitlines()
    assert '"name":"a"' in first
    assert len(cut) == 100
    assert json.loads(last)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["name"] == "c"
