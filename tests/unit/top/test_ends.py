from __future__ import annotations

import pytest

from proxy.pb.headway.v1 import control_pb2 as pb
from proxy.top.ends import RATE_WINDOW_S, End, Rates
from tests.unit.top.statuses import daemon_status, proxy_status


def test_rates_need_two_statuses() -> None:
    end = End("127.0.0.1:8009")
    known: list[object] = [end.status, end.rates]
    end.heard(proxy_status(100.0), at=5.0)
    known += [end.status, end.rates]
    assert known == [None, None, proxy_status(100.0), None]
    end.heard(proxy_status(101.0), at=6.0)
    assert end.rates is not None
    assert end.rates.seconds == 1.0
    assert repr(end) == "<End 127.0.0.1:8009 2>"


def test_rates_are_of_the_last_ten_seconds() -> None:
    end = End("127.0.0.1:8009")
    for second in range(40):
        end.heard(proxy_status(100.0 + second, on_time=10 * second), at=float(second))
    rates = end.rates
    assert rates is not None
    assert rates.seconds == RATE_WINDOW_S == 10.0
    assert rates.calls("realtime").on_time == 100


def test_of_looks_that_are_far_apart_there_are_the_last_two() -> None:
    end = End("127.0.0.1:8009")
    for second in (0.0, 60.0, 120.0):
        end.heard(proxy_status(100.0 + second), at=second)
    assert end.rates is not None
    assert end.rates.seconds == 60.0


@pytest.mark.parametrize("again", [proxy_status(99.0, on_time=950), proxy_status(101.0, on_time=3)])
def test_a_process_that_began_anew_has_no_rates_with_the_one_before(again: pb.Status) -> None:
    end = End("127.0.0.1:8009")
    end.heard(proxy_status(100.0), at=5.0)
    end.heard(again, at=6.0)
    assert end.status == again
    assert end.rates is None


def test_a_process_that_is_away_has_no_status_and_comes_back_without_its_past() -> None:
    end = End("127.0.0.1:8009")
    end.heard(proxy_status(100.0), at=5.0)
    end.lost("Connection refused")
    assert (end.status, end.heard_at, end.error) == (None, None, "Connection refused")
    assert repr(end) == "<End 127.0.0.1:8009 Connection refused>"
    end.heard(proxy_status(101.0), at=9.0)
    assert (end.heard_at, end.error, end.rates) == (9.0, "", None)


def test_what_happened_between_two_looks() -> None:
    rates = Rates(proxy_status(100.0, on_time=900, late=80), proxy_status(104.0, on_time=980, late=100))
    assert rates.calls("realtime") == pb.ClassStatus(name="realtime", on_time=80, late=20)
    assert rates.calls("nope") == pb.ClassStatus(name="nope")
    new = pb.Status(classes=[*proxy_status().classes, pb.ClassStatus(name="new", on_time=3)])
    assert Rates(proxy_status(), new).calls("new").on_time == 3


def test_what_happened_to_a_route() -> None:
    before, after = daemon_status(50.0, large=60, small=40), daemon_status(52.0, large=64, small=56)
    rates = Rates(before, after)
    assert [rates.requests("llm", one) for one in after.routes[0].candidates] == [4, 16]
    requests, worth = rates.worth("llm")
    assert requests == 20
    assert worth == pytest.approx(12.0)
    # A candidate or a route that was not there before.
    assert rates.requests("llm", pb.CandidateStatus(model="new", triton="c", requests=7)) == 0
    assert rates.worth("nope") == (0, 0.0)


def test_packets_of_a_tunnel_and_of_one_that_was_made_again() -> None:
    before, after = proxy_status(lost=10), proxy_status(lost=14)
    after.tunnels[0].path.sent_packets = 1100
    rates = Rates(before, after)
    assert rates.packets(after.tunnels[0]) == (100, 4)
    after.tunnels[0].path.sent_packets, after.tunnels[0].path.lost_packets = 50, 1
    assert rates.packets(after.tunnels[0]) == (50, 1)
    after.tunnels[0].peer = "another:1"
    assert rates.packets(after.tunnels[0]) == (50, 1)
