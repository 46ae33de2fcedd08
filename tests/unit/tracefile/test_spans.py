import json

import pytest

from proxy.tracefile.spans import LineError, OtherSignalError, parse_line
from tests.unit.tracefile.otlp import BEGIN_NS, TRACE, event, line, span


def test_a_span() -> None:
    told = {"headway.class": "bulk", "headway.deadline_ms": 7000.0, "server.port": 8001, "yes": True}
    raw = span("A1", "B2", 1, 3.5, trace=TRACE.upper(), of=told, events=[event("dispatch", 2)], error="no room")
    (found,) = parse_line(line("headway-proxy", raw).encode())
    assert (found.trace_id, found.span_id, found.parent_id) == (TRACE, "a1", "b2")
    assert (found.service, found.kind, found.duration_ms) == ("headway-proxy", 2, 2.5)
    assert (found.text("headway.class"), found.number("server.port")) == ("bulk", 8001.0)
    assert (found.number("headway.class"), found.number("yes"), found.text("other")) == (None, None, "")
    assert (found.failed, found.message) == (True, "no room")
    assert [(happened.name, happened.at_ns - BEGIN_NS) for happened in found.events] == [("dispatch", 2_000_000)]


def test_what_writers_may_leave_out_and_spell_otherwise() -> None:
    bare = {"traceId": "1", "spanId": "2", "name": "n", "startTimeUnixNano": 5, "endTimeUnixNano": 6, "status": None}
    values = [
        {"key": "list", "value": {"arrayValue": {"values": [{"intValue": "1"}, {"stringValue": "b"}]}}},
        {"key": "nan", "value": {"doubleValue": "NaN"}},
        {"key": "nothing"},
    ]
    message = {"resourceSpans": [{"scopeSpans": [{"spans": [bare | {"attributes": values}]}, {}]}, {}]}
    (found,) = parse_line(json.dumps(message).encode())
    assert (found.service, found.kind, found.start_ns, found.parent_id) == ("unknown", 0, 5, "")
    assert (found.attributes["list"], str(found.attributes["nan"])) == ([1, "b"], "nan")
    assert found.attributes["nothing"] == ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not JSON: "),
        ("[]", 'an object with "resourceSpans" is expected'),
        ('{"data": []}', 'an object with "resourceSpans" is expected'),
        ('{"resourceSpans": [{"scopeSpans": [{"spans": [{"spanId": "1"}]}]}]}', "a span without 'traceId'"),
        ('{"resourceSpans": [7]}', "no OTLP JSON: "),
        (line("s", span("a", "", 0, 1) | {"endTimeUnixNano": "late"}), "no OTLP JSON: invalid literal"),
    ],
)
def test_a_line_that_is_none(text: str, reason: str) -> None:
    with pytest.raises(LineError, match=reason):
        list(parse_line(text.encode()))


def test_metrics_are_no_mistake() -> None:
    with pytest.raises(OtherSignalError):
        list(parse_line(b'{"resourceMetrics": []}'))
