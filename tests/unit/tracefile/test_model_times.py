from proxy.tracefile.model_times import ModelTime, ModelTimes
from proxy.tracefile.spans import parse_line
from tests.unit.tracefile.otlp import PROXY, TRACE, TRITON, call_lines, event, line, span


def times(*lines: str) -> ModelTimes:
    found = ModelTimes()
    for text in lines:
        for one in parse_line(text.encode()):
            found.add(one)
    return found


def test_one_request() -> None:
    found = times(*call_lines())
    assert found.of(TRACE) == ModelTime(queue_ms=58, compute_ms=38)
    assert repr(found) == "<ModelTimes of 1 traces>"


def test_several_requests_or_a_part_of_one_tell_nothing() -> None:
    again = line(TRITON, span("c", "", 0, 5, name="compute"))
    assert times(*call_lines(), again).of(TRACE) is None
    assert times(again).of(TRACE) is None
    assert times(line(TRITON, span("m", "", 0, 5, events=[event("QUEUE_START", 1)]))).of(TRACE) is None
    assert times(line(PROXY, span("c", "", 0, 5, name="compute"))).of(TRACE) is None
