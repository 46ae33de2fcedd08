import math

import pytest

from proxy.tracefile.calls import Call, CallCollector
from proxy.tracefile.spans import parse_line
from proxy.tracefile.summary import by_class, by_stage, quantile
from tests.unit.tracefile.otlp import PROXY, STAGES, call_lines, line, span


def calls(*lines: str) -> list[Call]:
    collector = CallCollector()
    for text in lines:
        for found in parse_line(text.encode()):
            collector.add(found)
    return collector.calls()


FAILED = line(PROXY, span("f", "", 0, 1, trace="f" * 32, of={"headway.class": "bulk", "rpc.status_code": "INTERNAL"}))


def test_by_class() -> None:
    late, good = call_lines(trace="a" * 32, missed_at="model_queue"), call_lines(trace="b" * 32, deadline_ms=250.0)
    realtime, bulk = by_class(calls(*late, *good, FAILED))
    assert (realtime.name, realtime.deadlines_ms, realtime.calls) == ("realtime", (150.0, 250.0), 2)
    assert (realtime.on_time, realtime.missed, realtime.failed) == (1, 1, 0)
    assert (realtime.p50_ms, realtime.models) == (200.0, {"llm-medium": 2})
    assert (bulk.name, bulk.deadlines_ms, bulk.failed, bulk.on_time) == ("bulk", None, 1, 0)


def test_by_stage() -> None:
    late = call_lines(trace="a" * 32, missed_at="model_queue")
    slow = call_lines(trace="b" * 32, stages=STAGES | {"model_queue": 90.0}, missed_at="model_queue")
    good = call_lines(trace="c" * 32, deadline_ms=250.0, stages=STAGES | {"model_queue": 10.0})
    unnamed = call_lines(trace="d" * 32, stages={})
    stages = {one.name: one for one in by_stage(calls(*late, *slow, *good, *unnamed, line(PROXY, OVERDUE)))}
    assert list(stages) == [*STAGES, "not named"]
    queue = stages["model_queue"]
    assert (queue.misses, queue.median_on_time_ms, queue.median_missed_ms, queue.p99_ms) == (
        {"realtime": 2},
        10,
        60,
        90,
    )
    assert (stages["policy"].misses.total(), stages["policy"].p99_ms) == (0, 5.0)
    assert stages["not named"].misses == {"bulk": 1}
    assert math.isnan(stages["not named"].p99_ms)


OVERDUE = span("e", "", 0, 9, trace="e" * 32, of={"headway.class": "bulk", "headway.deadline_ms": 1.0})


@pytest.mark.parametrize(("share", "value"), [(0.5, 2.0), (0.51, 3.0), (0.99, 4.0), (0.0, 1.0)])
def test_quantiles(share: float, value: float) -> None:
    assert quantile([1.0, 2.0, 3.0, 4.0], share) == value
    assert math.isnan(quantile([], share))
