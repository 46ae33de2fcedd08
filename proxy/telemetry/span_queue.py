"""Takes finished spans off the event loop: a bounded queue, and a thread that hands them to where they go.

The SDK's batch processor does the same, but logs a line for each span that it drops, counts none, waits up to 30 s when
it is shut down, and encodes 512 spans in one go, for which the event loop waits at the interpreter's lock. Here a full
queue costs a call one comparison; what is lost is counted and told once.

Encoding stays on the event loop, a few spans at a time. In the thread it took twice as long, each time that the two
hand the interpreter's lock over took some 20 µs of either, and what one core had just written the other had to fetch:
with 16 spans a batch the thread cost a call 160 µs, where encoding alone is 30 (2 cores, Python 3.11).
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from proxy.telemetry.span_record import SpanRecord
from proxy.telemetry.tracing import CLOSE_TIMEOUT_S, SpanStatistics

logger = logging.getLogger(__name__)

BLOCK = 32
"""Spans that are encoded in one go, of a file's in 0.2 ms, which a call may have to wait. What a call pays for encoding
was 190 µs with each span on its own, 110 with blocks of 8, 50 with 32: the more, the less of the code has to be fetched
into the processor's cache again."""

E = TypeVar("E")


class SpanSink(Protocol[E]):
    """Where spans end up."""

    def encode(self, spans: Sequence[SpanRecord]) -> E:
        """Put them into the form in which they wait. On the event loop: what takes long is for `export`."""

    def export(self, blocks: Sequence[E]) -> bool:
        """Hand over what `encode` has made, in a thread of its own; whether it was taken."""

    def close(self) -> None:
        """No more will come. Does not wait long; an `export` that is under way may be cut short."""


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """How many spans wait, and for how long."""

    size: int = 4096
    """Spans that wait at most; about 8 MB. OTEL_BSP_MAX_QUEUE_SIZE."""
    delay_s: float = 1.0
    """How long a span waits for company. OTEL_BSP_SCHEDULE_DELAY (there in milliseconds)."""
    batch: int = 128
    """Spans handed over at a time. OTEL_BSP_MAX_EXPORT_BATCH_SIZE."""
    pause_s: float = 0.0002
    """Rest between batches, so that the event loop gets the interpreter's lock."""


class SpanQueue(Generic[E]):
    """Hands spans to `sink` in the background. `put` never waits; `close` waits for what is left."""

    def __init__(self, sink: SpanSink[E], settings: QueueSettings | None = None) -> None:
        self._sink = sink
        self._settings = settings or QueueSettings()
        self._block = min(BLOCK, self._settings.batch)
        self._fresh: deque[SpanRecord] = deque()
        self._blocks: deque[tuple[E, int]] = deque()
        self._wake = threading.Event()
        self._closing = threading.Event()
        # What the event loop counts and what the thread counts, so that no number has two writers.
        self._taken_in = 0
        self._dropped = 0
        self._exported = 0
        self._failed = 0
        self._broken = 0
        self._settling = threading.Lock()
        self._settled = False
        self._thread = threading.Thread(target=self._run, name="headway-spans", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        state = "closing" if self._closing.is_set() else "open"
        found = self.statistics()
        room = f"{found.waiting}/{self._settings.size}"
        return f"<SpanQueue {state} {room} dropped={found.dropped} failed={found.failed}>"

    def statistics(self) -> SpanStatistics:
        """Counts since the start. What is being handed over still waits."""
        failed = self._failed + self._broken
        waiting = self._taken_in - self._exported - failed
        return SpanStatistics(self._exported, failed, self._dropped, waiting)

    def put(self, span: SpanRecord) -> None:
        """Queue a finished span, or drop it when the queue is full or closed. For one thread only."""
        settings = self._settings
        waiting = self._taken_in - self._exported - self._failed - self._broken
        if waiting >= settings.size or self._closing.is_set():
            if self._dropped == 0:
                logger.warning("%d spans wait to be exported: this one and more to come may be dropped", waiting)
            self._dropped += 1
            return
        self._taken_in += 1
        self._fresh.append(span)
        if len(self._fresh) >= self._block:
            self._broken += self._encode()
            if waiting + 1 >= settings.batch and not self._wake.is_set():
                self._wake.set()

    def close(self, *, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Hand over what is left, for `timeout_s` at most, then close the sink. Blocks."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout_s)
        self._sink.close()
        with self._settling:
            self._settled = True
            left = self.statistics()
            self._dropped += left.waiting
            self._taken_in -= left.waiting
        if self._dropped or left.failed:
            logger.warning("Spans: %d dropped, %d refused, %d exported", self._dropped, left.failed, left.exported)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait(self._settings.delay_s)
            self._wake.clear()
            self._drain()
        self._drain()

    def _drain(self) -> None:
        while self._fresh:
            self._failed += self._encode()
        while self._blocks:
            self._export()
            if self._blocks:
                self._closing.wait(self._settings.pause_s)

    def _encode(self) -> int:
        """Encode a block of the fresh spans, for either thread; how many could not be."""
        spans: list[SpanRecord] = []
        # The other thread may take the last one between any look and the taking.
        with contextlib.suppress(IndexError):
            while len(spans) < self._block:
                spans.append(self._fresh.popleft())
        if not spans:
            return 0
        try:
            self._blocks.append((self._sink.encode(spans), len(spans)))
        except Exception:
            # Neither a call nor the thread may fail because a span can't be told.
            logger.exception("%d spans could not be encoded", len(spans))
            return len(spans)
        return 0

    def _export(self) -> None:
        batch: list[E] = []
        spans = 0
        while self._blocks and (not batch or spans + self._blocks[0][1] <= self._settings.batch):
            block, count = self._blocks.popleft()
            batch.append(block)
            spans += count
        try:
            done = self._sink.export(batch)
        except Exception:
            # A thread that dies would lose every later span; exporters are other people's code.
            logger.exception("The exporter failed with %d spans", spans)
            done = False
        with self._settling:
            if self._settled:
                return  # `close` gave these up
            if done:
                self._exported += spans
            else:
                self._failed += spans
