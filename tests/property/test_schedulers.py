"""Schedulers against models of themselves, over whole histories of one link."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from policies.scheduling.base import NO_DEADLINE_WAIT_S, StreamOrder
from policies.scheduling.registry import make_scheduler
from policies.traffic import NO_DEADLINE

PACKET_BYTES = 1200
deadlines_s = st.integers(-16, 320).map(lambda eighths: eighths / 8) | st.just(NO_DEADLINE)
sizes = st.integers(1, 5 * PACKET_BYTES)


class Link(RuleBasedStateMachine):
    """A connection that sends packet by packet. Whatever the discipline, no stream is lost, doubled or invented."""

    discipline = ""
    parked = Bundle("parked")

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = make_scheduler(self.discipline)
        self.now = 1000.0
        self.orders: dict[int, StreamOrder] = {}
        self.unsent: dict[int, int] = {}
        self.sent = 0
        self.offered = 0
        self.opened = 0

    @initialize(count=st.integers(0, 12), deadline_s=deadlines_s)
    def open_some(self, count: int, deadline_s: float) -> None:
        for index in range(count):
            self.open(deadline_s + index / 8, 100 * (index + 1))

    @rule(deadline_s=deadlines_s, size=sizes)
    def open(self, deadline_s: float, size: int) -> None:
        order = StreamOrder(4 * self.opened, arrived_at=self.now, deadline=self.now + deadline_s)
        self.opened += 1
        self.offered += size
        self._ready(order, size)

    @rule(seconds=st.integers(0, 80))
    def let_time_pass(self, seconds: int) -> None:
        self.now += seconds / 8

    @rule(packets=st.integers(1, 8))
    def send(self, packets: int) -> None:
        for _ in range(packets):
            stream_id = self.scheduler.next(now=self.now)
            if stream_id is None:
                assert not self.unsent
                return
            self._check_choice(stream_id)
            size = min(PACKET_BYTES, self.unsent[stream_id])
            self.sent += size
            if size == self.unsent[stream_id]:
                self._leave(stream_id)
            else:
                self.unsent[stream_id] -= size
                self.scheduler.served(stream_id, sent_bytes=size, now=self.now)
                self._note_served(stream_id)

    @precondition(lambda self: self.unsent)
    @rule(data=st.data(), deadline_s=deadlines_s, size=sizes)
    def next_message_of_a_token_stream(self, data: st.DataObject, deadline_s: float, size: int) -> None:
        stream_id = data.draw(st.sampled_from(sorted(self.unsent)))
        old = self.orders[stream_id]
        self.offered += size
        order = StreamOrder(stream_id, arrived_at=old.arrived_at, deadline=self.now + deadline_s)
        self._ready(order, self.unsent[stream_id] + size)

    @precondition(lambda self: self.unsent)
    @rule(target=parked, data=st.data())
    def run_out_of_credit(self, data: st.DataObject) -> tuple[StreamOrder, int]:
        stream_id = data.draw(st.sampled_from(sorted(self.unsent)))
        parked = self.orders[stream_id], self.unsent[stream_id]
        self._leave(stream_id)
        return parked

    @rule(stream=consumes(parked))
    def get_credit(self, stream: tuple[StreamOrder, int]) -> None:
        self._ready(*stream)

    @rule(target=parked, stream=consumes(parked), times=st.integers(1, 3))
    def remove_an_unknown_stream(self, stream: tuple[StreamOrder, int], times: int) -> tuple[StreamOrder, int]:
        for _ in range(times):
            self.scheduler.remove(stream[0].stream_id)
        return stream

    @precondition(lambda self: self.unsent)
    @rule(data=st.data())
    def reset(self, data: st.DataObject) -> None:
        stream_id = data.draw(st.sampled_from(sorted(self.unsent)))
        self.offered -= self.unsent[stream_id]
        self._leave(stream_id)

    @invariant()
    def knows_exactly_the_ready_streams(self) -> None:
        assert len(self.scheduler) == len(self.unsent)
        assert self.scheduler.log_data(now=self.now)["ready"] == len(self.unsent)

    @invariant()
    def is_work_conserving_and_asking_changes_nothing(self) -> None:
        first = self.scheduler.next(now=self.now)
        assert (first is None) == (not self.unsent)
        assert first is None or first in self.unsent
        assert self.scheduler.next(now=self.now) == first

    def teardown(self) -> None:
        """Every byte that was ready goes out, once, in as many packets as it fills."""
        waiting = sum(self.unsent.values())
        before = self.sent
        self.send(sum(-(-size // PACKET_BYTES) for size in self.unsent.values()))
        assert self.sent - before == waiting
        assert self.scheduler.next(now=self.now) is None

    def _ready(self, order: StreamOrder, size: int) -> None:
        self.scheduler.add(order, unsent_bytes=size, now=self.now)
        self.orders[order.stream_id] = order
        if order.stream_id not in self.unsent:
            self._note_joined(order.stream_id)
        self.unsent[order.stream_id] = size

    def _leave(self, stream_id: int) -> None:
        self.scheduler.remove(stream_id)
        del self.unsent[stream_id]

    def _check_choice(self, stream_id: int) -> None:
        """Compare a choice with the discipline's definition."""

    def _note_joined(self, stream_id: int) -> None:
        """A stream became ready."""

    def _note_served(self, stream_id: int) -> None:
        """A stream filled a packet and has more."""


class RoundRobinLink(Link):
    """The circle, as a list."""

    discipline = "rr"

    def __init__(self) -> None:
        super().__init__()
        self.circle: list[int] = []

    def _check_choice(self, stream_id: int) -> None:
        assert stream_id == self.circle[0]

    def _note_joined(self, stream_id: int) -> None:
        self.circle.append(stream_id)

    def _note_served(self, stream_id: int) -> None:
        self.circle.remove(stream_id)
        self.circle.append(stream_id)

    def _leave(self, stream_id: int) -> None:
        super()._leave(stream_id)
        self.circle.remove(stream_id)


class EarliestDeadlineFirstLink(Link):
    """Every choice against a search through all ready streams."""

    discipline = "edf"

    def _check_choice(self, stream_id: int) -> None:
        ready = [self.orders[other] for other in self.unsent]
        chosen = self.orders[stream_id]
        late = chosen.deadline < self.now
        if late:
            assert all(order.deadline < self.now for order in ready), "an expired stream before a live one"
        same = [order for order in ready if (order.deadline < self.now) == late]
        assert (_due(chosen), chosen.arrived_at, stream_id) == min(
            (_due(order), order.arrived_at, order.stream_id) for order in same
        )
        for order in ready:
            if order.deadline == NO_DEADLINE and order.arrived_at + NO_DEADLINE_WAIT_S < self.now:
                # Whoever goes first although this one has waited its 30 s was due before it.
                assert not late
                assert _due(chosen) <= order.arrived_at + NO_DEADLINE_WAIT_S


def _due(order: StreamOrder) -> float:
    return order.arrived_at + NO_DEADLINE_WAIT_S if order.deadline == NO_DEADLINE else order.deadline


PROFILE = settings(max_examples=100, stateful_step_count=40)
TestRoundRobin = pytest.mark.slow(RoundRobinLink.TestCase)
TestRoundRobin.settings = PROFILE
TestEarliestDeadlineFirst = pytest.mark.slow(EarliestDeadlineFirstLink.TestCase)
TestEarliestDeadlineFirst.settings = PROFILE
