"""Who fills the next packet, with send sides that are only numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest

from policies.scheduling.base import PathEstimate, StreamOrder
from policies.scheduling.edf import EarliestDeadlineFirst
from policies.scheduling.registry import SCHEDULERS, make_scheduler
from policies.scheduling.round_robin import RoundRobin
from proxy.quic.send_buffer import NOTHING_WATCHED
from proxy.quic.send_queue import SendQueue


@dataclass
class Bytes:
    """The send side of a stream that is sent front to back. `proxy.quic.send_queue.Sender`."""

    stream_id: int
    written_bytes: int = 0
    next_offset: int = 0
    highest_offset: int = 0
    acknowledged_bytes: int = 0
    emptied_at: float = 0.0
    is_open: bool = True
    watched_offset: int = NOTHING_WATCHED
    has_messages: bool = False
    started: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)

    def tell_start(self, now: float) -> None:
        self.started.append(now)
        self.watched_offset = NOTHING_WATCHED

    def tell_end(self, now: float) -> None:
        self.ended.append(now)

    @property
    def pending_bytes(self) -> int:
        return self.written_bytes - self.next_offset

    @property
    def buffer_is_empty(self) -> bool:
        return self.pending_bytes == 0

    @buffer_is_empty.setter
    def buffer_is_empty(self, value: bool) -> None:
        raise AssertionError("nobody but the buffer itself sets this")

    @property
    def can_send(self) -> bool:
        return self.is_open and self.pending_bytes > 0


class Recorder(EarliestDeadlineFirst):
    """Keeps what it hears: (stream, deadline, bytes)."""

    def __init__(self) -> None:
        super().__init__()
        self.added: list[tuple[int, float, int]] = []
        self.orders: dict[int, StreamOrder] = {}
        self.sent: list[tuple[int, int]] = []

    def add(self, order: StreamOrder, *, unsent_bytes: int, now: float) -> None:
        self.orders[order.stream_id] = order
        self.added.append((order.stream_id, order.deadline, unsent_bytes))
        super().add(order, unsent_bytes=unsent_bytes, now=now)

    def served(self, stream_id: int, *, sent_bytes: int, now: float) -> None:
        self.sent.append((stream_id, sent_bytes))

    def on_path(self, path: PathEstimate, *, now: float) -> None:
        raise AssertionError("the queue knows nothing of the path")


class Streams:
    """A queue with streams to write to and packets of ten bytes to fill."""

    def __init__(self, scheduler: Recorder | RoundRobin | None = None) -> None:
        self.scheduler = Recorder() if scheduler is None else scheduler
        self.queue: SendQueue[Bytes] = SendQueue(self.scheduler)
        self.queue.now = 100.0

    @property
    def heard(self) -> list[tuple[int, float, int]]:
        """What the scheduler has heard since the last look."""
        assert isinstance(self.scheduler, Recorder)
        heard, self.scheduler.added = self.scheduler.added, []
        return heard

    def open(self, stream_id: int, deadline: float | None = None, *, urgent: bool = False) -> Bytes:
        sender = Bytes(stream_id)
        self.queue.adopt(sender, urgent=urgent)
        if deadline is not None:
            self.queue.order(StreamOrder(stream_id, arrived_at=100.0, deadline=deadline))
        return sender

    def write(self, sender: Bytes, size: int, due_at: float | None = None) -> None:
        if due_at is not None:
            self.queue.expect(sender, end=sender.written_bytes + size, deadline=due_at)
        sender.written_bytes += size
        self.queue.wake(sender)

    def lose(self, sender: Bytes, offset: int) -> None:
        """From here on everything is to be sent again."""
        sender.next_offset = offset
        self.queue.wake(sender)

    def packet(self, credit: float = math.inf) -> int | None:
        """The stream that fills the next packet."""
        sender = self.queue.next()
        if sender is None:
            return None
        size = min(sender.pending_bytes, 10)
        if sender.next_offset + size > max(credit, sender.highest_offset):
            self.queue.hold_back(sender)
            return self.packet(credit)
        sender.next_offset += size
        sender.highest_offset = max(sender.highest_offset, sender.next_offset)
        self.queue.sent(sender, size)
        return sender.stream_id

    def packets(self) -> list[int]:
        """Those of all packets until nothing waits."""
        served = []
        while (stream_id := self.packet()) is not None:
            served.append(stream_id)
        return served


def test_the_scheduler_says_whose_turn_it_is() -> None:
    streams = Streams()
    for stream_id, deadline in ((0, 105.0), (4, 101.0), (8, 103.0)):
        streams.write(streams.open(stream_id, deadline), 20)
    assert streams.queue.ready == 3
    assert streams.packets() == [4, 4, 8, 8, 0, 0]
    assert streams.queue.ready == 0


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_urgent_streams_come_before_all_others_whatever_the_discipline(scheduler: str) -> None:
    streams = Streams()
    queue = streams.queue = SendQueue(make_scheduler(scheduler))
    queue.now = 100.0
    flood = [streams.open(4 * number, 100.1) for number in range(50)]
    control, settings = streams.open(401), streams.open(2, urgent=True)
    for sender in flood:
        streams.write(sender, 100)
    streams.write(control, 20)
    queue.make_urgent(401)
    streams.write(settings, 20)
    assert [streams.packet() for _ in range(4)] == [401, 401, 2, 2]
    streams.packet()
    streams.write(settings, 5)
    assert streams.packet() == 2
    assert len(streams.packets()) == 499


def test_a_stream_without_an_order_of_its_own_arrives_when_it_is_written_to() -> None:
    streams = Streams()
    sender = streams.open(4)
    streams.queue.now = 103.0
    streams.write(sender, 10)
    streams.queue.now = 105.0
    streams.write(sender, 10)
    assert isinstance(streams.scheduler, Recorder)
    assert streams.scheduler.orders == {4: StreamOrder(4, arrived_at=103.0)}


def test_a_message_is_known_as_a_whole_when_it_is_written() -> None:
    streams = Streams()
    sender = streams.open(0, 105.0)
    streams.write(sender, 1_000_000)
    assert streams.heard == [(0, 105.0, 1_000_000)]
    assert streams.packet() == 0
    assert streams.heard == []
    assert isinstance(streams.scheduler, Recorder)
    assert streams.scheduler.sent == [(0, 10)]


def test_what_is_lost_is_heard_of_beside_what_waits() -> None:
    streams = Streams()
    sender = streams.open(0, 105.0)
    streams.write(sender, 100)
    for _ in range(4):
        streams.packet()
    streams.lose(sender, 30)
    assert streams.heard == [(0, 105.0, 100), (0, 105.0, 70)]


def test_a_stream_that_has_nothing_left_is_known_to_nobody_and_knows_when_that_came() -> None:
    streams = Streams()
    sender = streams.open(0, 105.0)
    streams.write(sender, 15)
    streams.packet()
    assert sender.emptied_at == 0.0
    streams.queue.now = 101.5
    streams.packet()
    assert sender.emptied_at == 101.5
    assert (streams.queue.ready, streams.queue.next()) == (0, None)


# Credit


def test_it_is_told_when_the_first_byte_of_a_message_leaves_and_when_all_have() -> None:
    streams = Streams()
    sender = streams.open(0, 1.0)
    streams.write(sender, 15)
    sender.watched_offset = 15
    streams.write(sender, 10)
    streams.packet()
    assert (sender.started, sender.ended) == ([], [])
    streams.queue.now = 101.0
    streams.packet()
    assert (sender.started, sender.ended) == ([101.0], [])
    streams.queue.now = 102.0
    streams.packets()
    assert (sender.started, sender.ended) == ([101.0], [102.0])


def test_a_stream_that_is_given_up_is_told_that_it_never_leaves() -> None:
    streams = Streams()
    forgotten, left = streams.open(0, 1.0), streams.open(4, 1.0)
    streams.write(forgotten, 15)
    streams.write(left, 15)
    streams.queue.forget(0)
    streams.queue.give_up()
    assert (forgotten.ended, left.ended) == ([0.0], [0.0])


def test_a_stream_without_credit_holds_up_nobody_and_comes_back_with_all_it_has() -> None:
    streams = Streams()
    first, second = streams.open(0, 101.0), streams.open(4, 105.0)
    streams.write(first, 100)
    streams.write(second, 20)
    assert [streams.packet(credit=20) for _ in range(5)] == [0, 0, 4, 4, None]
    assert streams.queue.is_held_back
    assert streams.queue.pending_bytes == 80
    streams.write(first, 10)
    assert streams.packet() is None
    streams.queue.let_go(0)
    streams.queue.let_go(4)  # which did not wait
    assert streams.heard[-1] == (0, 101.0, 90)
    assert streams.packets() == [0] * 9


def test_while_the_connection_has_no_credit_the_scheduler_is_not_asked_and_forgets_nothing() -> None:
    streams = Streams()
    for stream_id in (0, 4, 8):
        streams.write(streams.open(stream_id, 105.0 - stream_id / 4), 20)
    streams.write(streams.open(2, urgent=True), 10)
    streams.queue.hold_all_back()
    assert streams.packet() is None
    assert (streams.queue.ready, streams.queue.is_held_back, len(streams.scheduler)) == (0, True, 3)
    assert repr(streams.queue).startswith("<SendQueue streams=4 urgent=1 held_back=all ")
    streams.write(streams.open(12, 100.5), 10)
    assert len(streams.heard) == 4
    streams.queue.let_all_go()
    assert streams.queue.ready == 5
    assert streams.packets() == [2, 12, 8, 8, 4, 4, 0, 0]
    assert streams.heard == []
    assert not streams.queue.is_held_back


def test_without_credit_for_all_lost_bytes_and_bare_ends_are_sent_urgent_ones_first() -> None:
    streams = Streams()
    early, late, fresh = streams.open(0, 101.0), streams.open(4, 105.0), streams.open(8, 100.5)
    urgent = streams.open(2, urgent=True)
    for sender in (late, early, urgent):
        streams.write(sender, 40)
        assert [streams.packet() for _ in range(2)] == [sender.stream_id] * 2
        streams.queue.unready(sender.stream_id)
    streams.queue.hold_all_back()
    streams.write(fresh, 10)
    for sender in (late, early, urgent):
        streams.lose(sender, 0 if sender is early else 10)
    assert streams.queue.ready == 3
    assert streams.packets() == [2, 4, 0, 0]
    assert (streams.queue.ready, streams.queue.is_held_back) == (0, True)
    streams.queue.let_all_go()
    assert streams.packets() == [2, 2, 8, 0, 0, 4, 4]


def test_a_stream_without_credit_of_its_own_waits_on_when_the_connection_gets_some() -> None:
    streams = Streams()
    sender = streams.open(0, 105.0)
    streams.write(sender, 10)
    streams.queue.hold_back(sender)
    streams.queue.let_all_go()
    assert streams.packet() is None
    assert streams.queue.is_held_back
    streams.queue.let_go(0)
    assert streams.packets() == [0]


def test_what_is_lost_needs_no_credit() -> None:
    streams = Streams()
    sender = streams.open(0, 105.0)
    streams.write(sender, 30)
    assert [streams.packet(credit=20) for _ in range(3)] == [0, 0, None]
    streams.lose(sender, 10)
    assert [streams.packet(credit=20) for _ in range(2)] == [0, None]


def test_a_stream_that_may_not_be_opened_yet_waits() -> None:
    streams = Streams()
    sender = streams.open(0, 105.0)
    sender.is_open = False
    streams.write(sender, 10)
    assert streams.queue.ready == 0
    sender.is_open = True
    streams.queue.wake(sender)
    sender.is_open = False  # taken back again: the queue looks when its turn comes
    assert (streams.packet(), streams.queue.ready) == (None, 0)


def test_a_stream_that_is_forgotten_is_gone() -> None:
    streams = Streams()
    sender = streams.open(0, 105.0)
    streams.write(sender, 10)
    streams.queue.forget(0)
    assert (streams.queue.get(0), streams.queue.ready, streams.packet()) == (None, 0, None)
    assert repr(streams.queue).startswith("<SendQueue streams=0 urgent=0 held_back=0 ")


# Another discipline, another order


def test_another_discipline_goes_on_with_what_waits_and_may_be_sent() -> None:
    streams = Streams()
    blocked, urgent = streams.open(12, 101.0), streams.open(2, urgent=True)
    for stream_id, deadline in ((0, 105.0), (4, 101.0), (8, 103.0)):
        streams.write(streams.open(stream_id, deadline), 20)
    streams.write(blocked, 10)
    streams.queue.hold_back(blocked)
    streams.write(urgent, 10)
    assert [streams.packet() for _ in range(2)] == [2, 4]
    streams.queue.use_scheduler(RoundRobin())
    assert streams.packets() == [0, 4, 8, 0, 8]
    streams.queue.let_go(12)
    assert streams.packets() == [12]


def test_a_stream_moves_when_its_order_changes() -> None:
    streams = Streams()
    for stream_id, deadline in ((0, 103.0), (4, 105.0)):
        streams.write(streams.open(stream_id, deadline), 20)
    streams.packet()
    streams.queue.order(StreamOrder(4, arrived_at=100.0, deadline=101.0))
    assert streams.packets() == [4, 4, 0]


# Messages with deadlines of their own


def test_a_stream_goes_by_the_first_message_that_has_bytes_to_send() -> None:
    streams = Streams()
    tokens, other = streams.open(0, 101.0), streams.open(4, 102.0)
    streams.write(tokens, 15, 101.0)
    streams.write(tokens, 5, 103.0)
    streams.write(tokens, 20, 104.0)
    streams.write(other, 10)
    # The second packet takes the rest of the first message and the second one; the third message waits for the other.
    assert streams.packets() == [0, 0, 4, 0, 0]
    assert streams.heard == [(0, 101.0, 15), (0, 101.0, 15), (0, 101.0, 15), (4, 102.0, 10), (0, 104.0, 20)]


def test_the_scheduler_hears_of_a_message_once() -> None:
    streams = Streams()
    tokens = streams.open(0, 101.0)
    streams.write(tokens, 50, 101.0)
    streams.write(tokens, 50, 102.0)
    assert streams.heard == [(0, 101.0, 50), (0, 101.0, 50)]
    assert len(streams.packets()) == 10
    assert streams.heard == [(0, 102.0, 50)]


def test_a_lost_message_is_as_urgent_as_it_was() -> None:
    streams = Streams()
    tokens, other = streams.open(0, 101.0), streams.open(4, 102.0)
    streams.write(tokens, 10, 101.0)
    streams.write(tokens, 20, 103.0)
    assert [streams.packet() for _ in range(2)] == [0, 0]
    streams.write(other, 20)
    streams.lose(tokens, 0)
    assert [streams.packet() for _ in range(4)] == [0, 4, 4, 0]
    streams.lose(tokens, 10)
    streams.write(other, 10)
    assert streams.packets() == [4, 0, 0]


def test_an_answer_of_one_message_needs_no_deadlines_of_its_own() -> None:
    streams = Streams()
    answer = streams.open(0, 101.0)
    streams.write(answer, 30, 101.0)
    streams.packet()
    streams.queue.order(StreamOrder(0, arrived_at=100.0, deadline=104.0))
    assert streams.heard == [(0, 101.0, 30), (0, 104.0, 20)]


def test_headers_and_the_first_message_are_one_to_the_scheduler() -> None:
    """One that plans with what streams need would take headers that wait alone for all that there is."""
    streams = Streams()
    request = streams.open(0, 101.0)
    streams.write(request, 10)
    streams.write(request, 30, 102.0)
    assert streams.heard == [(0, 101.0, 10), (0, 102.0, 40)]
    streams.write(request, 20, 103.0)
    assert streams.heard == [(0, 102.0, 40)]
    assert len(streams.packets()) == 6
    assert streams.heard == [(0, 103.0, 20)]


def test_a_message_on_a_stream_without_an_order_has_its_deadline() -> None:
    streams = Streams()
    answer = streams.open(0)
    streams.write(answer, 30, 102.0)
    assert streams.heard == [(0, 102.0, 30)]


def test_messages_keep_their_deadlines_under_another_discipline() -> None:
    streams = Streams()
    tokens = streams.open(0, 101.0)
    streams.write(tokens, 10, 101.0)
    streams.write(tokens, 10, 102.0)
    streams.packet()
    recorder = Recorder()
    streams.queue.use_scheduler(recorder)
    assert recorder.added == [(0, 102.0, 10)]
