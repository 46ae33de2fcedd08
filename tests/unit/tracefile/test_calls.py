from collections.abc import Iterable

import pytest

from proxy.tracefile.calls import Call, CallCollector, call_in, call_of, worst_first
from proxy.tracefile.spans import Span, parse_line
from tests.unit.tracefile.otlp import BEGIN_NS, CLIENT, DAEMON, PROXY, STAGES, TRACE, TRITON, call_lines, line, span


def spans(*lines: str) -> list[Span]:
    return [span for text in lines for span in parse_line(text.encode())]


def collected(found: Iterable[Span]) -> CallCollector:
    collector = CallCollector()
    for one in found:
        collector.add(one)
    return collector


def call(**told: object) -> Call:
    return call_of(spans(line(PROXY, span("a", "", 0, 100, of=told)))[0])


def test_a_call_at_the_proxy_with_the_models_that_the_daemon_tells() -> None:
    collector = collected(spans(*call_lines(missed_at="model_queue")))
    assert repr(collector) == "<CallCollector 7 spans, 1 calls at proxies>"
    (found,) = collector.calls()
    assert (found.trace_id, found.service, found.traffic_class) == (TRACE, PROXY, "realtime")
    assert (found.start_ns, found.duration_ms, found.deadline_ms, found.slack_ms) == (BEGIN_NS, 200, 150, -50)
    assert (found.missed, found.missed_at, found.asked, found.answered) == (True, "model_queue", "llm", "llm-medium")
    assert dict(found.stages) == STAGES


def test_without_the_proxy_a_call_is_as_the_daemon_saw_it() -> None:
    (found,) = collected(spans(*call_lines()[1:])).calls()
    assert (found.service, found.duration_ms, found.traffic_class, found.deadline_ms) == (DAEMON, 120, "none", None)
    assert found.on_time


@pytest.mark.parametrize(
    ("deadline_ms", "stage"), [(150.0, "model_compute"), (100.0, "model_queue"), (30.0, "uplink_transfer")]
)
def test_triton_tells_what_the_daemon_could_not(deadline_ms: float, stage: str) -> None:
    stages = {"uplink_transfer": 60.0, "backend": 100.0, "delivery": 40.0}
    missed_at = "backend" if deadline_ms > 60 else stage
    lines = call_lines(stages=stages, deadline_ms=deadline_ms, missed_at=missed_at)
    (found,) = collected(spans(*lines)).calls()
    split = {"uplink_transfer": 60.0, "model_queue": 58.0, "model_compute": 42.0, "delivery": 40.0}
    assert (list(found.stages.items()), found.missed_at) == (list(split.items()), stage)
    (without,) = collected(spans(*lines[:2])).calls()
    assert (dict(without.stages), without.missed_at) == (stages, missed_at)


@pytest.mark.parametrize(
    ("told", "how"),
    [
        ({}, "on_time"),
        ({"headway.deadline_ms": 101.0}, "on_time"),
        ({"headway.deadline_ms": 99.0}, "missed"),
        ({"headway.deadline_ms": 99.0, "headway.deadline.slack_ms": 1.0}, "on_time"),
        ({"headway.deadline_ms": 500.0, "headway.deadline.missed_at": "token"}, "missed"),
        ({"rpc.status_code": "DEADLINE_EXCEEDED"}, "missed"),
        ({"rpc.status_code": "UNAVAILABLE", "headway.deadline_ms": 500.0}, "failed"),
        ({"rpc.status_code": "CANCELLED", "headway.deadline_ms": 99.0}, "missed"),
    ],
)
def test_how_a_call_went(told: dict[str, object], how: str) -> None:
    found = call(**told)
    assert {name for name in ("on_time", "missed", "failed") if getattr(found, name)} == {how}


def test_a_span_with_an_error_and_no_status() -> None:
    assert call_of(spans(line(PROXY, span("a", "", 0, 1, error="broken")))[0]).status == "UNKNOWN"


def test_several_calls_in_a_trace() -> None:
    answered = {"gen_ai.response.model": "one"}
    lines = (
        line(PROXY, span("b", "x", 5, 6), span("a", "x", 1, 2), span("c", "a", 1, 2, kind=CLIENT)),
        line(DAEMON, span("d", "c", 1, 2, of=answered), span("e", "b", 5, 6, of={"gen_ai.response.model": "two"})),
    )
    collector = collected(spans(*lines))
    assert [(found.span_id, found.answered) for found in collector.calls()] == [("a", ""), ("b", "")]
    assert (collector.traces, collector.spans) == (1, 5)
    assert (collector.traces_beginning(TRACE[:3].upper()), collector.traces_beginning("9")) == ([TRACE], [])


def test_the_call_in_a_trace() -> None:
    assert call_in(spans(*reversed(call_lines()))).service == PROXY
    assert call_in(spans(line(TRITON, span("a", "", 1, 2), span("b", "", 0, 9)))).span_id == "b"


def test_the_worst_call_is_the_one_furthest_past_its_deadline() -> None:
    late = call(**{"headway.deadline_ms": 90.0})
    later = call(**{"headway.deadline_ms": 10.0})
    unknown = call(**{"rpc.status_code": "DEADLINE_EXCEEDED"})
    good = call(**{"headway.deadline_ms": 1000.0})
    newer = call_of(spans(line(PROXY, span("a", "", 50, 60)))[0])
    assert worst_first([good, late, newer, unknown, later]) == [later, late, unknown, newer, good]
