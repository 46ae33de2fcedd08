import logging
import threading
from collections.abc import Sequence

import pytest

from proxy.telemetry.span_queue import BLOCK, QueueSettings, SpanQueue
from proxy.telemetry.span_record import SpanRecord
from proxy.telemetry.tracing import SpanStatistics
from tests.unit.telemetry.recorded import finished

SPAN = finished()
AT_ONCE = QueueSettings(batch=1)


class Collector:
    """Counts what it is given; holds every export while `open` isn't set."""

    def __init__(self, *, takes: bool = True) -> None:
        self.batches: list[list[int]] = []
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self.closed = threading.Event()
        self.takes = takes
        self.error: Exception | None = None
        self.encoded_in: set[str] = set()
        self.no_code: Exception | None = None

    def encode(self, spans: Sequence[SpanRecord]) -> int:
        self.encoded_in.add(threading.current_thread().name)
        if self.no_code:
            raise self.no_code
        return len(spans)

    def export(self, blocks: Sequence[int]) -> bool:
        self.entered.set()
        assert self.open.wait(10)
        self.batches.append([*blocks])
        if self.error:
            raise self.error
        return self.takes

    def close(self) -> None:
        self.closed.set()


def test_spans_are_exported_in_batches_and_the_rest_on_close() -> None:
    collector = Collector()
    queue = SpanQueue(collector, QueueSettings(batch=4, delay_s=60))
    for _ in range(10):
        queue.put(SPAN)
    queue.close()
    assert sum(map(sum, collector.batches)) == 10
    assert max(map(sum, collector.batches)) <= 4
    assert collector.closed.is_set()
    assert queue.statistics() == SpanStatistics(exported=10)


def test_full_blocks_are_encoded_where_the_spans_come_from() -> None:
    collector = Collector()
    queue = SpanQueue(collector, QueueSettings(batch=3 * BLOCK, delay_s=60))
    for _ in range(3 * BLOCK):
        queue.put(SPAN)
    queue.close()
    assert collector.batches == [[BLOCK] * 3]
    assert collector.encoded_in == {threading.current_thread().name}


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
    # The first one waits, too, until the collector has taken it.
    assert queue.statistics() == SpanStatistics(dropped=8, waiting=3)
    assert repr(queue) == "<SpanQueue open 3/3 dropped=8 failed=0>"
    queue.close(timeout_s=0.01)
    assert collector.closed.is_set()
    assert queue.statistics() == SpanStatistics(dropped=11)
    assert [record.getMessage() for record in caplog.records] == [
        "3 spans wait to be exported: this one and more to come may be dropped",
        "Spans: 11 dropped, 0 refused, 0 exported",
    ]
    collector.open.set()


def test_what_the_collector_refuses_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    queue = SpanQueue(Collector(takes=False), AT_ONCE)
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
    assert collector.batches == [[1], [1]]
    assert queue.statistics() == SpanStatistics(failed=2)
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.ERROR, logging.WARNING]


def test_spans_after_closing_are_dropped() -> None:
    queue = SpanQueue(Collector())
    queue.close()
    queue.close()
    queue.put(SPAN)
    assert queue.statistics() == SpanStatistics(dropped=1)


def test_a_span_that_cannot_be_encoded_is_lost_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    collector = Collector()
    collector.no_code = ValueError("no such thing")
    queue = SpanQueue(collector, AT_ONCE)
    queue.put(SPAN)
    collector.no_code = None
    queue.put(SPAN)
    queue.close()
    assert queue.statistics() == SpanStatistics(exported=1, failed=1)
    assert caplog.messages[0] == "1 spans could not be encoded"
