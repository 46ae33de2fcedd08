"""Schedulers against models of themselves, over whole histories of one link."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from policies.scheduling.base import PathEstimate, StreamOrder
from policies.scheduling.registry import SCHEDULERS, make_scheduler
from policies.traffic import NO_DEADLINE, Level
from tests.property.reference import PICKS, Reference

PACKET_BYTES = 1200
deadlines_s = st.integers(-16, 320).map(lambda eighths: eighths / 8) | st.just(NO_DEADLINE)
sizes = st.integers(1, 5 * PACKET_BYTES)
levels: st.SearchStrategy[Level] = st.sampled_from(("high", "low"))
priorities = st.integers(0, 3)
weights = st.sampled_from((0.25, 1.0, 2.0))  # sums of them are exact, however they are added up


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
        self.opened = 0

    @initialize(count=st.integers(0, 12) | st.just(40), deadline_s=deadlines_s, level=levels)
    def open_some(self, count: int, deadline_s: float, level: Level) -> None:
        for index in range(count):
            self.open(deadline_s + index / 8, 100 * (index % 50 + 1), level, index % 4, 1.0)

    @rule(deadline_s=deadlines_s, size=sizes, level=levels, priority=priorities, weight=weights)
    def open(self, deadline_s: float, size: int, level: Level, priority: int, weight: float) -> None:
        stream_id = 4 * self.opened
        self.opened += 1
        self._ready(StreamOrder(stream_id, self.now, self.now + deadline_s, priority, level, weight), size)

    @rule(seconds=st.integers(0, 80))
    def let_time_pass(self, seconds: int) -> None:
        self.now += seconds / 8

    @rule(rate_bytes_s=st.sampled_from((1e4, 1e6, float("inf"))), rtt_s=st.sampled_from((0.0, 0.05, 1.0)))
    def measure_the_path(self, rate_bytes_s: float, rtt_s: float) -> None:
        self.scheduler.on_path(PathEstimate(rate_bytes_s, rtt_s, rtt_s / 2), now=self.now)

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
                self._served(stream_id, size)

    @precondition(lambda self: self.unsent)
    @rule(data=st.data(), deadline_s=deadlines_s, size=sizes)
    def next_message_of_a_token_stream(self, data: st.DataObject, deadline_s: float, size: int) -> None:
        stream_id = data.draw(st.sampled_from(sorted(self.unsent)))
        order = self.orders[stream_id]._replace(deadline=self.now + deadline_s)
        self._ready(order, self.unsent[stream_id] + size)

    @precondition(lambda self: self.unsent)
    @rule(data=st.data(), level=levels, priority=priorities, weight=weights)
    def give_another_class(self, data: st.DataObject, level: Level, priority: int, weight: float) -> None:
        stream_id = data.draw(st.sampled_from(sorted(self.unsent)))
        order = self.orders[stream_id]._replace(level=level, priority=priority, weight=weight)
        self._ready(order, self.unsent[stream_id])

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
        self._leave(data.draw(st.sampled_from(sorted(self.unsent))))

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
        self.unsent[order.stream_id] = size

    def _served(self, stream_id: int, size: int) -> None:
        self.scheduler.served(stream_id, sent_bytes=size, now=self.now)

    def _leave(self, stream_id: int) -> None:
        self.scheduler.remove(stream_id)
        del self.unsent[stream_id]

    def _check_choice(self, stream_id: int) -> None:
        if self.orders[stream_id].deadline < self.now:
            on_time = [other for other in self.unsent if self.orders[other].deadline >= self.now]
            assert not on_time, "an expired stream before a live one"


class ComparedLink(Link):
    """Every choice against the definition."""

    def __init__(self) -> None:
        super().__init__()
        self.reference = Reference(self.discipline)

    def _ready(self, order: StreamOrder, size: int) -> None:
        super()._ready(order, size)
        self.reference.add(order, size, self.now)

    def _served(self, stream_id: int, size: int) -> None:
        super()._served(stream_id, size)
        self.reference.served(stream_id, size, self.now)

    def _leave(self, stream_id: int) -> None:
        super()._leave(stream_id)
        self.reference.first(self.now)  # leaving has no time of its own: what is overdue is as of the last question
        self.reference.remove(stream_id)

    def _check_choice(self, stream_id: int) -> None:
        super()._check_choice(stream_id)
        assert stream_id == self.reference.first(self.now)


PROFILE = settings(max_examples=25, stateful_step_count=40)


def machine(name: str, base: type[Link]) -> type[Link]:
    """The link under one discipline."""
    return type(f"{base.__name__}Of{name.title()}", (base,), {"discipline": name})


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SCHEDULERS if name not in PICKS])
def test_no_stream_is_lost_doubled_or_invented_and_late_is_never_first(name: str) -> None:
    run_state_machine_as_test(machine(name, Link), settings=PROFILE)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(PICKS))
def test_every_choice_is_that_of_the_definition(name: str) -> None:
    """With all that `Link` itself asks for."""
    run_state_machine_as_test(machine(name, ComparedLink), settings=PROFILE)


def test_all_but_adaptive_are_defined() -> None:
    """Its order depends on the path; it is compared with bounds instead."""
    assert set(SCHEDULERS) - {"adaptive"} == set(PICKS)
