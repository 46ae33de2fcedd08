"""How late a packet may come before it counts as lost."""

from __future__ import annotations

from proxy.quic.congestion.reordering import Reordering


def lose(reordering: Reordering, number: int, *, largest_acked: int = 0, now: float = 0.0) -> None:
    by_packets = largest_acked > 0
    reordering.lost(number, largest_acked=largest_acked, by_packets=by_packets, size=1200, now=now)


def test_a_packet_that_arrives_raises_the_threshold_that_it_fell_under() -> None:
    reordering = Reordering()
    lose(reordering, 10, largest_acked=17)
    assert reordering.arrived(10) == 1200
    assert (reordering.packet_threshold, reordering.time_threshold) == (8, 1.125)
    lose(reordering, 20)
    reordering.arrived(20)
    assert (reordering.packet_threshold, reordering.time_threshold) == (8, 1.25)
    assert reordering.spurious_packets == 2


def test_thresholds_have_an_end() -> None:
    reordering = Reordering()
    for number in range(20):
        lose(reordering, number)
        reordering.arrived(number)
    lose(reordering, 50, largest_acked=5000)
    reordering.arrived(50)
    assert repr(reordering) == "<Reordering packets=300 time=2 lost=0>"


def test_a_nearer_packet_does_not_lower_the_threshold() -> None:
    reordering = Reordering()
    for number, largest_acked in ((10, 30), (40, 44)):
        lose(reordering, number, largest_acked=largest_acked)
        reordering.arrived(number)
    assert reordering.packet_threshold == 21


def test_sixteen_real_losses_bring_the_thresholds_back() -> None:
    reordering = Reordering()
    lose(reordering, 0, largest_acked=9)
    reordering.arrived(0)
    for number in range(1, 17):
        lose(reordering, number, largest_acked=99, now=float(number))
    reordering.forget_before(16.0)
    assert (reordering.outstanding(), reordering.packet_threshold) == ([16], 10)
    reordering.forget_before(17.0)
    assert (reordering.outstanding(), reordering.packet_threshold) == ([], 3)


def test_what_is_kept_in_mind_has_an_end() -> None:
    reordering = Reordering()
    for number in range(1000):
        lose(reordering, number)
    assert reordering.outstanding() == list(range(744, 1000))
