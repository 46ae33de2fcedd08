import json

from proxy.tracefile.calls import CallCollector
from proxy.tracefile.document import picture_document, summary_document
from proxy.tracefile.spans import parse_line
from proxy.tracefile.tree import picture
from tests.unit.tracefile.otlp import BEGIN_NS, DAEMON, PROXY, TRACE, call_lines, event, line, span

SPANS = [
    found
    for text in (
        *call_lines(missed_at="model_queue", skew_ms=-100),
        line(DAEMON, span("z", f"{TRACE[:12]}0002", -40, -30, of={"odd": float("nan")}, events=[event("drop", -35)])),
    )
    for found in parse_line(text.replace("NaN", '"NaN"').encode())
]


def test_a_summary() -> None:
    collector = CallCollector()
    for found in SPANS:
        collector.add(found)
    document = json.loads(json.dumps(summary_document(collector.calls()), allow_nan=False))
    assert document["classes"]["realtime"]["missed"] == 1
    assert document["classes"]["realtime"]["models"] == {"llm-medium": 1}
    assert document["stages"]["model_queue"] == {
        "misses": {"realtime": 1},
        "p50_on_time_ms": None,
        "p50_missed_ms": 60.0,
        "p99_ms": 60.0,
    }


def test_a_call() -> None:
    collector = CallCollector()
    for found in SPANS:
        collector.add(found)
    (call,) = collector.calls()
    document = json.loads(json.dumps(picture_document(picture(call, SPANS)), allow_nan=False))
    assert (document["trace"], document["start_unix_ns"]) == (TRACE, BEGIN_NS)
    assert (document["missed"], document["missed_at"], document["slack_ms"]) == (True, "model_queue", -50.0)
    assert document["stages_ms"]["uplink_transfer"] == 45.0
    assert document["moved_ms"] == {"headway-daemon": 100.0, "triton-inference-server": 100.0}
    assert len(document["spans"]) == 8
    last = document["spans"][-1]
    assert (last["start_ms"], last["duration_ms"], last["attributes"]) == (60.0, 10.0, {"odd": None})
    assert last["events"] == [{"name": "drop", "after_ms": 65.0, "attributes": {}}]
    assert document["spans"][0]["service"] == PROXY
