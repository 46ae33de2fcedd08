from __future__ import annotations

from dataclasses import replace

import pytest

from policies.simulation.distribution import Constant, Recorded
from policies.simulation.trace import draw
from policies.simulation.workload import Event, MixShift, Network, RequestClass
from policies.simulation.workload_file import read_workload
from policies.traffic import TrafficClass
from tests.unit.policies.simulation.worlds import world


def test_the_same_seed_draws_the_same_trace() -> None:
    workload = replace(read_workload("unpredictable"), seconds=20.0)
    assert draw(workload, 1) == draw(workload, 1)
    assert draw(workload, 1) != draw(workload, 2)


def test_a_change_of_the_network_leaves_arrivals_and_classes_alone() -> None:
    workload = replace(read_workload("unpredictable"), seconds=20.0)
    slower = replace(workload, network=Network(Constant(1.0), Constant(1.0)))
    assert (draw(slower, 1).sent_at, draw(slower, 1).kind) == (draw(workload, 1).sent_at, draw(workload, 1).kind)


def test_requests_come_in_the_order_in_which_the_daemon_gets_them() -> None:
    trace = draw(world([0.0, 0.1], network=Network(Recorded((0.5, 0.1)), Recorded((0.2, 0.3)))), 1)
    assert trace.sent_at == [0.1, 0.0]
    assert trace.arrived_at == pytest.approx([0.2, 0.5])
    assert trace.way_back_s == [0.3, 0.2]
    assert trace.deadline_at == [1.1, 1.0]
    assert trace.known_way_back_s == pytest.approx([0.1, 0.15])  # 0.1 + (0.5 - 0.1) / 8


def test_sizes_take_time_on_a_link_with_a_rate() -> None:
    kind = RequestClass(TrafficClass("only", 1.0), 1.0, size=Constant(1000), answer_size=Constant(2000))
    trace = draw(world([0.0], classes=(kind,), network=Network(Constant(0.1), Constant(0.2), rate=80_000)), 1)
    assert trace.arrived_at == pytest.approx([0.2])
    assert trace.way_back_s == pytest.approx([0.4])
    assert trace.known_way_back_s == pytest.approx([0.3])  # the way up without the request, and the answer
    assert trace.size_bytes == [1000]


def test_requests_wait_for_each_other_on_a_link_that_they_share() -> None:
    # A tenth of a second each; they are sent together, and what is due first was sent last.
    kinds = tuple(
        RequestClass(TrafficClass(name, deadline_s), 1.0, size=Constant(1000))
        for name, deadline_s in (("a", 1), ("b", 2))
    )
    network = Network(Constant(0.1), Constant(0.2), rate=80_000, order="edf")
    shared = draw(world([0.0, 0.001, 0.002, 0.003, 5.0], classes=kinds, network=network), 3)
    ways = [arrived - sent for sent, arrived in zip(shared.sent_at, shared.arrived_at, strict=True)]
    assert shared.arrived_at[:4] == pytest.approx([0.2, 0.3, 0.4, 0.5])
    assert ways[-1] == pytest.approx(0.2)
    assert shared.deadline_at[1:4] == sorted(shared.deadline_at[1:4])
    assert shared.known_way_back_s == pytest.approx([0.1] * 5)  # what they waited is no way
    alone = draw(world([0.0, 0.001, 0.002, 0.003, 5.0], classes=kinds, network=replace(network, order=None)), 3)
    assert alone.arrived_at == pytest.approx([0.2, 0.201, 0.202, 0.203, 5.2])


def test_the_mix_shifts() -> None:
    kinds = tuple(RequestClass(TrafficClass(name, 1.0), share) for name, share in (("a", 3.0), ("b", 1.0)))
    shifts = (MixShift(50.0, (("b", 1.0),)),)
    trace = draw(world([0.1 * number for number in range(1000)], classes=kinds, mix=shifts), 1)
    assert sum(trace.kind[:500]) == pytest.approx(125, abs=30)
    assert set(trace.kind[500:]) == {1}


def test_an_event_may_lengthen_the_way() -> None:
    trace = draw(world([1.0, 10.0], events=[Event(5.0, 10.0, "delay", factor=4.0)]), 1)
    assert trace.arrived_at == pytest.approx([1.05, 10.2])
    assert trace.way_back_s == pytest.approx([0.05, 0.2])


def test_a_run_without_requests_is_empty() -> None:
    assert len(draw(world([]), 1)) == 0
