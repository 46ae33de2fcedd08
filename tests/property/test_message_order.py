"""A stream whose messages have deadlines, whatever happens to its bytes: its order is that of the byte sent next."""

from __future__ import annotations

from typing import NamedTuple

from aioquic.quic.packet_builder import QuicDeliveryState
from aioquic.quic.stream import QuicStream
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from policies.scheduling.base import StreamOrder
from policies.scheduling.edf import EarliestDeadlineFirst
from proxy.quic.send_buffer import SendBuffer
from proxy.quic.send_queue import SendQueue

STREAM = 4
OWN_DEADLINE = 50.0


class Frame(NamedTuple):
    start: int
    stop: int
    fin: bool


class Known(EarliestDeadlineFirst):
    """Keeps what it knows of the stream now."""

    def __init__(self) -> None:
        super().__init__()
        self.deadline: float | None = None
        self.unsent_bytes = 0

    def add(self, order: StreamOrder, *, unsent_bytes: int, now: float) -> None:
        self.deadline, self.unsent_bytes = order.deadline, unsent_bytes
        super().add(order, unsent_bytes=unsent_bytes, now=now)

    def served(self, stream_id: int, *, sent_bytes: int, now: float) -> None:
        self.unsent_bytes -= sent_bytes
        super().served(stream_id, sent_bytes=sent_bytes, now=now)

    def remove(self, stream_id: int) -> None:
        self.deadline, self.unsent_bytes = None, 0
        super().remove(stream_id)


class Messages(RuleBasedStateMachine):
    """One stream, and beside it a list of what each of its bytes is due and whether it waits."""

    def __init__(self) -> None:
        super().__init__()
        self.known = Known()
        self.queue: SendQueue[SendBuffer] = SendQueue(self.known)
        self.buffer = SendBuffer(
            QuicStream(stream_id=STREAM),
            STREAM,
            on_ready=self.queue.wake,
            on_signal=lambda _: None,
            on_finished=lambda _: None,
        )
        self.queue.adopt(self.buffer, urgent=False)
        self.queue.order(StreamOrder(STREAM, arrived_at=0.0, deadline=OWN_DEADLINE))
        self.due: list[float] = []
        self.headers_only = True
        self.ends: list[int] = []
        self.waiting: set[int] = set()
        self.in_flight: list[Frame] = []
        self.ended = False

    @precondition(lambda self: not self.ended)
    @rule(size=st.integers(1, 30), deadline=st.one_of(st.none(), st.floats(0.0, 100.0)), end=st.booleans())
    def write(self, size: int, deadline: float | None, end: bool) -> None:
        """Without a deadline only before the first message that has one: headers."""
        if deadline is None and not self.headers_only:
            return
        start = len(self.due)
        if deadline is not None:
            self.queue.expect(self.buffer, end=start + size, deadline=deadline)
        due = OWN_DEADLINE if deadline is None else deadline
        if self.headers_only:
            self.due = [due] * len(self.due)  # they are of no use without it
        # A byte can't arrive before those in front of it.
        self.due = [min(before, due) for before in self.due] + [due] * size
        self.headers_only = deadline is None
        self.ends.append(start + size)
        self.waiting |= set(range(start, start + size))
        self.ended = end
        self.buffer.write_chunks((bytes(size),), end_stream=end)

    @rule(size=st.integers(0, 40))
    def send(self, size: int) -> None:
        if self.queue.next() is None:
            assert not self.waiting
            return
        frame = self.buffer.get_frame(size, 10_000)
        if frame is None:
            return
        stop = frame.offset + len(frame.data)
        self.waiting -= set(range(frame.offset, stop))
        self.in_flight.append(Frame(frame.offset, stop, frame.fin))
        self.queue.sent(self.buffer, len(frame.data))

    @precondition(lambda self: self.in_flight)
    @rule(choice=st.randoms(use_true_random=False), lost=st.booleans())
    def settle(self, choice: object, lost: bool) -> None:
        frame = self.in_flight.pop(choice.randrange(len(self.in_flight)))  # type: ignore[attr-defined]
        if lost:
            self.waiting |= set(range(frame.start, frame.stop))
        self.buffer.on_data_delivery(QuicDeliveryState.LOST if lost else QuicDeliveryState.ACKED, *frame)

    @rule()
    def switch(self) -> None:
        """Another scheduler hears the same."""
        self.known = Known()
        self.queue.use_scheduler(self.known)

    @invariant()
    def the_order_is_that_of_the_next_byte(self) -> None:
        if self.waiting:
            assert self.known.deadline == self.due[min(self.waiting)]
        else:
            assert self.known.deadline is None or self.buffer.can_send  # an end without bytes

    @invariant()
    def the_scheduler_knows_of_the_message_and_of_no_more_than_waits(self) -> None:
        if self.waiting:
            first = min(self.waiting)
            due = self.due[first]
            own = {byte for byte in self.waiting if self.due[byte] == due and byte < self._end_of(first)}
            assert len(own) <= self.known.unsent_bytes <= len(self.waiting)

    def _end_of(self, byte: int) -> int:
        return min(end for end in self.ends if end > byte)

    def teardown(self) -> None:
        for _ in range(len(self.waiting) + 2):
            self.send(40)
        assert self.queue.ready == 0


Messages.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestMessages = Messages.TestCase
