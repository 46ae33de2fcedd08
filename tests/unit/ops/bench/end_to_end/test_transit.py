from dataclasses import replace
from statistics import mean

import pytest

from ops.bench.end_to_end.transit import RELAY_S, crossed, rate_bytes_s, settings_at
from ops.bench.network.grid import Row
from ops.link import Change, Direction, LinkSettings
from policies.simulation.trace import Trace
from tests.unit.ops.bench.end_to_end.pond import EDF, TCP, scenario

LINK = LinkSettings(rate_bits_s=5e6, delay_s=0.05, loss=0.005)


def ways(trace: Trace) -> dict[float, float]:
    return {sent: arrived - sent for sent, arrived in zip(trace.sent_at, trace.arrived_at, strict=True)}


def test_a_link_changes_at_its_times() -> None:
    changes = (
        Change(20.0, {"rate_bits_s": 5e6}),
        Change(10.0, {"rate_bits_s": 2e6}),
        Change(5.0, {"delay_s": 1.0}, Direction.DOWN),
    )
    link = LinkSettings(rate_bits_s=5e6, changes=changes)
    assert [settings_at(link, at).rate_bits_s for at in (0.0, 9.9, 10.0, 20.0)] == [5e6, 5e6, 2e6, 5e6]
    assert settings_at(link, 6.0).delay_s == 0.0


def test_most_of_the_link_is_for_requests() -> None:
    assert 0.9 < rate_bytes_s(LINK) * 8 / 5e6 < 0.95


def test_a_sender_that_takes_loss_for_congestion_gets_less_and_another_share_with_each_draw() -> None:
    pond = scenario()
    workload = pond.workloads["stable"]
    link = replace(LINK, rate_bits_s=3e5)
    reno = Row("quic", "edf", "reno")
    clear = crossed(workload, pond.classes, replace(link, loss=0.0), reno, 1)
    assert clear == crossed(workload, pond.classes, replace(link, loss=0.0), EDF, 1)
    link = replace(link, loss=0.3)
    first, again, other = (crossed(workload, pond.classes, link, reno, 1, window=window) for window in (0, 0, 1))
    assert first == again != other
    assert mean(ways(first).values()) > mean(ways(crossed(workload, pond.classes, link, EDF, 1)).values())


def test_requests_wait_for_the_link_and_for_what_is_lost() -> None:
    pond = scenario()
    workload = pond.workloads["stable"]
    clear = ways(crossed(workload, pond.classes, LinkSettings(rate_bits_s=1e9, delay_s=0.01), EDF, 1))
    assert all(0.01 + RELAY_S < way < 0.016 for way in clear.values())
    thin = ways(crossed(workload, pond.classes, LinkSettings(rate_bits_s=3e5, delay_s=0.01), EDF, 1))
    assert all(thin[sent] > way for sent, way in clear.items())
    lossy = ways(crossed(workload, pond.classes, LinkSettings(rate_bits_s=1e9, delay_s=0.01, loss=1.0 - 1e-9), EDF, 1))
    assert all(lossy[sent] > way + 0.019 for sent, way in clear.items())


def test_the_trace_is_in_the_order_of_arrival_and_knows_the_way_back() -> None:
    pond = scenario()
    changes = (Change(1.5, {"delay_s": 0.1}),)
    link = LinkSettings(rate_bits_s=3e5, delay_s=0.01, changes=changes)
    trace = crossed(pond.workloads["stable"], pond.classes, link, EDF, 1)
    assert trace.arrived_at == sorted(trace.arrived_at)
    for arrived, known, way in zip(trace.arrived_at, trace.known_way_back_s, trace.way_back_s, strict=True):
        assert known == (0.1 if arrived >= 1.5 else 0.01)
        assert way == pytest.approx(known + RELAY_S)
    kinds = [pond.workloads["stable"].classes[place].traffic for place in trace.kind]
    assert [sent + kind.deadline_s for sent, kind in zip(trace.sent_at, kinds, strict=True)] == trace.deadline_at


def test_over_tcp_a_loss_holds_up_what_is_behind_it() -> None:
    pond = scenario(workloads={"stable": {"kind": "stable", "rates": [80], "hold": 3}})
    link = LinkSettings(rate_bits_s=1e8, delay_s=0.1, loss=0.05)
    by_quic, by_tcp = (ways(crossed(pond.workloads["stable"], pond.classes, link, column, 1)) for column in (EDF, TCP))
    held = sum(by_tcp[sent] > 0.25 for sent in by_tcp)
    assert held > sum(by_quic[sent] > 0.25 for sent in by_quic)


def test_tcp_knows_of_no_deadlines_and_sends_all_in_turn() -> None:
    pond = scenario()
    link = LinkSettings(rate_bits_s=1e5, delay_s=0.01)
    trace = crossed(pond.workloads["stable"], pond.classes, link, TCP, 1)
    assert trace.sent_at == sorted(trace.sent_at)
    assert trace.arrived_at[-1] > sum(trace.size_bytes) / rate_bytes_s(link)
