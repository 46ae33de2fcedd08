"""What the backend saw of each call, kept by the id that the test put into the call's metadata."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import grpc

CALL_ID_KEY = "x-conformance-call"
# A call with this key waits for its gate at the end of its requests. grpc.aio's server may report a cancellation
# as that end first and as a cancellation a moment later, when a handler without this is already done.
HOLD_END_KEY = "x-conformance-hold-end"


@dataclass
class Progress:
    """A count that a test can wait on."""

    count: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def advance(self) -> None:
        self.count += 1
        self._changed.set()

    async def reach(self, count: int, *, within_s: float = 5.0) -> None:
        """Return once the count is at least `count`; TimeoutError otherwise."""
        async with asyncio.timeout(within_s):
            while self.count < count:
                self._changed.clear()
                await self._changed.wait()


@dataclass
class CallRecord:
    """One call as the backend's handler lived it."""

    metadata: tuple[tuple[str, str | bytes], ...] = ()
    time_remaining_s: float | None = None
    received: Progress = field(default_factory=Progress)
    sent: Progress = field(default_factory=Progress)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    half_closed: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by the test to let a call with `hold` go on."""

    def values(self, key: str) -> list[str | bytes]:
        return [value for name, value in self.metadata if name == key]


async def seen(event: asyncio.Event, *, within_s: float = 5.0) -> None:
    """Wait for something the backend should see; TimeoutError when it does not."""
    async with asyncio.timeout(within_s):
        await event.wait()


class Journal:
    """All calls the backend has served; tests and handlers meet in a record by the call's id."""

    def __init__(self) -> None:
        self._records: defaultdict[str, CallRecord] = defaultdict(CallRecord)

    def __getitem__(self, call_id: str) -> CallRecord:
        return self._records[call_id]

    @contextlib.contextmanager
    def serving(self, context: grpc.aio.ServicerContext[object, object]) -> Iterator[CallRecord]:
        """Record the call of `context` from its start to its end or cancellation."""
        metadata = tuple((key, value) for key, value in context.invocation_metadata() or ())
        call_ids = [str(value) for key, value in metadata if key == CALL_ID_KEY]
        record = self._records[call_ids[0]] if call_ids else CallRecord()
        record.metadata = metadata
        record.time_remaining_s = context.time_remaining()
        record.started.set()
        try:
            yield record
        except (asyncio.CancelledError, grpc.aio.InternalError):
            # A cancel that finds the handler within a write fails the write before it cancels the task.
            record.cancelled.set()
            raise
        finally:
            record.finished.set()
