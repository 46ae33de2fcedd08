"""Which stream fills the next packet: the streams that have something to send, around a scheduler.

HTTP/3's own streams and streams marked urgent go first, in the order in which they became ready; the others as the
scheduler says. A stream without anything to send, or without the peer's credit for it, is in nobody's way: nothing here
or in the scheduler knows of it but a table looked up by its number.

When the connection's credit is used up the scheduler is not asked, and keeps what it knows: however many streams wait,
that and the end of it cost nothing. Only what needs no credit is sent then.

The scheduler hears of a message as a whole when it is written, however little of it the windows let out, and of bytes
that are lost when they have to be sent again. Where messages have deadlines of their own, it hears of the one message
that is next on the stream.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, Protocol, TypeVar

from policies.scheduling.base import Scheduler, StreamOrder
from proxy.quic.message_deadlines import MessageDeadlines


class Sender(Protocol):
    """The send side of one stream."""

    stream_id: int
    buffer_is_empty: bool
    """True when there is nothing to send: no byte and no end."""
    highest_offset: int
    """Up to where bytes have been sent."""
    emptied_at: float
    """When the last packet left that took all there was to send; 0 before."""

    watched_offset: int
    """Of the byte that `tell_start` waits for."""
    has_messages: bool
    """True once a message with a deadline was announced on it; `SendQueue` keeps it."""

    def tell_start(self, now: float) -> None:
        """The byte at `watched_offset` has been sent."""

    def tell_end(self, now: float) -> None:
        """All that there was to send has been sent, or with 0.0: the stream is given up."""

    @property
    def next_offset(self) -> int:
        """Of the byte that is sent next."""

    @property
    def can_send(self) -> bool:
        """True if there is something to send and the peer lets the stream be opened."""

    @property
    def pending_bytes(self) -> int:
        """Bytes to send and to send again."""

    @property
    def written_bytes(self) -> int:
        """Offset of the end of what was written."""

    @property
    def acknowledged_bytes(self) -> int:
        """Offset up to which everything is acknowledged."""


S = TypeVar("S", bound=Sender)


class SendQueue(Generic[S]):
    """The streams of one connection, in the order in which they are served.

    `now` is the time of whatever happens at present; whoever calls keeps it up to date.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.now = 0.0
        self._senders: dict[int, S] = {}
        self._orders: dict[int, StreamOrder] = {}
        self._messages: dict[int, MessageDeadlines] = {}
        self._urgent: dict[int, None] = {}
        self._urgent_ready: dict[int, None] = {}
        self._held_back: dict[int, None] = {}
        self._all_held_back = False
        self._free: OrderedDict[int, None] = OrderedDict()
        """Ready streams whose next byte needs no credit, urgent ones first, the others in the order in which that came
        up: packets are found lost in the order in which they were sent, which was the scheduler's."""

    def __repr__(self) -> str:
        held = f"urgent={len(self._urgent_ready)} held_back={'all' if self._all_held_back else len(self._held_back)}"
        return f"<SendQueue streams={len(self._senders)} {held} {self.scheduler!r}>"

    @property
    def ready(self) -> int:
        """How many streams have something that may be sent."""
        return len(self._free) if self._all_held_back else self._waiting

    @property
    def _waiting(self) -> int:
        return len(self._urgent_ready) + len(self.scheduler)

    @property
    def is_held_back(self) -> bool:
        """True if a stream waits for the peer's credit."""
        return bool(self._held_back) or (self._all_held_back and self._waiting > len(self._free))

    @property
    def pending_bytes(self) -> int:
        """Bytes to send on all streams, credit or not. Walks the streams: for statistics."""
        return sum(sender.pending_bytes for sender in self._senders.values())

    def get(self, stream_id: int) -> S | None:
        """The send side of a stream; None once it is forgotten."""
        return self._senders.get(stream_id)

    def adopt(self, sender: S, *, urgent: bool) -> None:
        """Take in a new stream."""
        self._senders[sender.stream_id] = sender
        if urgent:
            self._urgent[sender.stream_id] = None

    def forget(self, stream_id: int) -> None:
        """The stream is over."""
        self.unready(stream_id)
        if (sender := self._senders.get(stream_id)) is not None:
            sender.tell_end(0.0)
        for table in (self._senders, self._orders, self._messages, self._urgent, self._held_back):
            table.pop(stream_id, None)

    def give_up(self) -> None:
        """The connection is over: nothing more will be sent."""
        for sender in list(self._senders.values()):
            sender.tell_end(0.0)

    def use_scheduler(self, scheduler: Scheduler) -> None:
        """Go on in another discipline's order, with what the old one has not served yet."""
        self.scheduler = scheduler
        for stream_id, sender in self._senders.items():
            if stream_id not in self._urgent:
                self.wake(sender)

    def order(self, order: StreamOrder) -> None:
        """Say how urgent a stream is. Messages with deadlines of their own keep these."""
        self._orders[order.stream_id] = order
        sender = self._senders.get(order.stream_id)
        if sender is not None and order.stream_id not in self._urgent:
            self.wake(sender)

    def make_urgent(self, stream_id: int) -> None:
        """Serve the stream before every scheduled one."""
        self._urgent[stream_id] = None
        self.scheduler.remove(stream_id)
        if (sender := self._senders.get(stream_id)) is not None:
            self.wake(sender)

    def expect(self, sender: S, *, end: int, deadline: float) -> None:
        """A message that is about to be written to the stream ends at `end`, and is due at `deadline`.

        Headers written before the first one go with it: a scheduler that plans with what streams have to send must not
        take them for all that there is.
        """
        stream_id = sender.stream_id
        acknowledged = sender.acknowledged_bytes
        messages = self._messages.get(stream_id)
        if messages is None:
            order = self._orders.get(stream_id) or StreamOrder(stream_id, arrived_at=self.now)
            is_first, sender.has_messages = not sender.has_messages, True
            if deadline == order.deadline:
                return  # as the stream is ordered anyway
            if is_first:
                self._orders[stream_id] = order._replace(deadline=deadline)
                return
            messages = self._messages[stream_id] = MessageDeadlines()
            if sender.written_bytes > acknowledged:
                messages.add(sender.written_bytes, order.deadline, acknowledged=acknowledged)
        messages.add(end, deadline, acknowledged=acknowledged)

    def wake(self, sender: S) -> None:
        """Queue a stream that has come to have something to send: new, lost, or with other urgency."""
        if not sender.can_send:
            return
        stream_id = sender.stream_id
        is_urgent = stream_id in self._urgent
        if _needs_no_credit(sender):
            self._free[stream_id] = None
            if is_urgent:
                self._free.move_to_end(stream_id, last=False)
        elif stream_id in self._held_back:
            return
        if is_urgent:
            self._urgent_ready[stream_id] = None
        else:
            self._schedule(sender)

    def unready(self, stream_id: int) -> None:
        """The stream has nothing to send any more."""
        self._urgent_ready.pop(stream_id, None)
        self._free.pop(stream_id, None)
        self.scheduler.remove(stream_id)

    def next(self) -> S | None:
        """The stream to serve next, or None."""
        while True:
            stream_id = next(iter(self._free if self._all_held_back else self._urgent_ready), None)
            if stream_id is None and not self._all_held_back:
                stream_id = self.scheduler.next(now=self.now)
            if stream_id is None:
                return None
            sender = self._senders.get(stream_id)
            if sender is not None and sender.can_send:
                return sender
            self.unready(stream_id)

    def sent(self, sender: S, size_bytes: int) -> None:
        """So many of the stream's bytes have gone into a packet."""
        stream_id = sender.stream_id
        if sender.highest_offset > sender.watched_offset:
            sender.tell_start(self.now)
        if sender.buffer_is_empty:
            sender.emptied_at = self.now
            sender.tell_end(self.now)
            self.unready(stream_id)
            return
        if stream_id in self._free and not _needs_no_credit(sender):
            del self._free[stream_id]
        if stream_id not in self._urgent:
            self.scheduler.served(stream_id, sent_bytes=size_bytes, now=self.now)
            messages = self._messages.get(stream_id)
            if messages is not None and not messages.covers(sender.next_offset):
                self._schedule(sender)

    def hold_back(self, sender: S) -> None:
        """The stream's credit is used up: it waits for more."""
        self._held_back[sender.stream_id] = None
        self.unready(sender.stream_id)

    def hold_all_back(self) -> None:
        """The connection's credit is used up: every stream waits for more."""
        self._all_held_back = True

    def let_go(self, stream_id: int) -> None:
        """The peer gave the stream credit."""
        if stream_id in self._held_back:
            del self._held_back[stream_id]
            self.wake(self._senders[stream_id])

    def let_all_go(self) -> None:
        """The peer gave the connection credit. Streams that have none of their own still wait."""
        self._all_held_back = False

    def _schedule(self, sender: S) -> None:
        stream_id = sender.stream_id
        order = self._orders.get(stream_id)
        if order is None:
            order = self._orders[stream_id] = StreamOrder(stream_id=stream_id, arrived_at=self.now)
        size_bytes = sender.pending_bytes
        messages = self._messages.get(stream_id)
        if messages is not None:
            offset = sender.next_offset
            deadline, end = messages.at(offset)
            if deadline != order.deadline:
                order = self._orders[stream_id] = order._replace(deadline=deadline)
            size_bytes = min(size_bytes, max(end - offset, 0))
        self.scheduler.add(order, unsent_bytes=size_bytes, now=self.now)


def _needs_no_credit(sender: Sender) -> bool:
    """True if what is sent next is sent again or is the end alone (RFC 9000 section 4.1 counts neither).

    If it waited, the peer might never have a reason to give more.
    """
    return sender.next_offset < sender.highest_offset or not sender.pending_bytes
