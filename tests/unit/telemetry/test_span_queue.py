import logging
import threading
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from proxy.telemetry.span_queue import QueueSettings, SpanQueue
from proxy.telemetry.tracing import SpanStatistics

SPAN = ReadableSpan("pkg.Service/Method")
AT_ONCE = QueueSettings(batch=1)


class Collector(SpanExporter):
    """Keeps what it is given; holds every export while `open` isn't set."""

    def __init__(self, result: SpanExportResult = SpanExportResult.SUCCESS) -> None:
        self.batches: list[int] = []
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self.closed = threading.Event()
        self.result = result
        self.error: Exception | None = None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.entered.set()
        assert self.open.wait(10)
        self.batches.append(len(spans))
        if self.error:
            raise self.error
        return self.result

    def shutdown(self) -> None:
        self.closed.set()


def test_spans_are_exported_in_batches_and_the_rest_on_close() -> None:
    collector = Collector()
    queue = SpanQueue(collector, QueueSettings(batch=4, delay_s=60))
    for _ in range(10):
        queue.put(SPAN)
    queue.close()
    assert sum(collector.batches) == 10
    assert max(collector.batches) <= 4
    assert collector.closed.is_set()
    assert queue.statistics() == SpanStatistics(exported=10)


def test_a_lone_span_waits_no_longer_than_the_delay() -> None:
    collector = Collector()
    queue = SpanQueue(collector, QueueSettings(delay_s=0.01))
    queue.put(SPAN)
    assert collector.entered.wait(5)
    queue.close()
    assert queue.statistics().exported == 1


def test_a_hung_collector_costs_spans_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    collector = Collector()
    collector.open.clear()
    queue = SpanQueue(collector, QueueSettings(size=3, batch=1))
    queue.put(SPAN)
    assert collector.entered.wait(5)
    for _ in range(10):
        queue.put(SPAN)
    assert queue.statistics() == SpanStatistics(dropped=7, waiting=3)
    assert repr(queue) == "<SpanQueue open 3/3 dropped=7 failed=0>"
    queue.close(timeout_s=0.01)
    assert collector.closed.is_set()
    assert queue.statistics() == SpanStatistics(dropped=10)
    assert [record.getMessage() for record in caplog.records] == [
        "3 spans wait to be exported: this one and more to come may be dropped",
        "Spans: 10 dropped, 0 refused, 0 exported",
    ]
    collector.open.set()


def test_what_the_collector_refuses_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    queue = SpanQueue(Collector(SpanExportResult.FAILURE), AT_ONCE)
    queue.put(SPAN)
    queue.put(SPAN)
    queue.close()
    assert queue.statistics() == SpanStatistics(failed=2)
    assert caplog.messages == ["Spans: 0 dropped, 2 refused, 0 exported"]


def test_an_exporter_that_raises_does_not_end_the_exporting(caplog: pytest.LogCaptureFixture) -> None:
    collector = Collector()
    collector.error = ValueError("broken")
    queue = SpanQueue(collector, AT_ONCE)
    queue.put(SPAN)
    assert collector.entered.wait(5)
    queue.put(SPAN)
    queue.close()
    assert collector.batches == [1, 1]
    assert queue.statistics() == SpanStatistics(failed=2)
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.ERROR, logging.WARNING]


def test_spans_after_closing_are_dropped() -> None:
    queue = SpanQueue(Collector())
    queue.close()
    queue.close()
    queue.put(SPAN)
    assert queue.statistics() == SpanStatistics(dropped=1)
