"""The gaps between packets."""

from __future__ import annotations

import pytest

from proxy.quic.congestion.pacer import Pacer

SIZE = 1000


def paced(rate_bytes_s: float, *, datagram_bytes: int = SIZE) -> Pacer:
    pacer = Pacer(datagram_bytes=datagram_bytes)
    pacer.follows_window = False
    pacer.set_rate(rate_bytes_s, now=100.0)
    return pacer


def send(pacer: Pacer, *, now: float, sizes: int = SIZE) -> int:
    """Packets that may leave now, of a thousand that would like to."""
    for count in range(1000):
        if pacer.next_send_time(now=now) is not None:
            return count
        pacer.update_after_send(now=now)
        pacer.settle(sizes)
    return 1000


def wakeups(pacer: Pacer, *, seconds: float, late_s: float = 0.0) -> tuple[int, int]:
    """Wakeups and bytes while everything is sent that may be, each wakeup being late by so much."""
    now, count, sent = 100.0, 0, 0
    send(pacer, now=now)
    while True:
        at = pacer.next_send_time(now=now)
        assert at is not None
        now = at + late_s + 1e-9
        if now > 100.0 + seconds:
            return count, sent
        count += 1
        sent += send(pacer, now=now, sizes=pacer.datagram_bytes) * pacer.datagram_bytes


def test_a_burst_of_the_initial_window_leaves_at_once() -> None:
    assert send(paced(100_000), now=100.0) == 10


def test_after_a_pause_no_more_than_a_burst_has_gathered() -> None:
    pacer = paced(100_000)
    send(pacer, now=100.0)
    assert send(pacer, now=160.0) == 10


def test_without_a_rate_everything_leaves_at_once() -> None:
    assert send(Pacer(datagram_bytes=SIZE), now=100.0) == 1000


def test_packets_count_by_their_bytes() -> None:
    assert send(paced(100_000), now=100.0, sizes=100) == 100
    assert send(paced(100_000), now=100.0, sizes=0) == 1000  # acknowledgements alone


@pytest.mark.parametrize(
    ("rate_bytes_s", "wakeups_a_second"),
    [(625_000.0, 220), (6_250_000.0, 1010), (125_000_000.0, 1910)],
    ids=["5 Mbit/s", "50 Mbit/s", "1 Gbit/s"],
)
def test_wakeups_stay_few_and_the_rate_holds(rate_bytes_s: float, wakeups_a_second: int) -> None:
    count, sent = wakeups(paced(rate_bytes_s, datagram_bytes=1452), seconds=1.0)
    assert count <= wakeups_a_second
    assert sent == pytest.approx(rate_bytes_s, rel=0.02)


@pytest.mark.parametrize("rate_bytes_s", [625_000.0, 6_250_000.0, 125_000_000.0])
def test_late_wakeups_do_not_slow_it(rate_bytes_s: float) -> None:
    _, sent = wakeups(paced(rate_bytes_s, datagram_bytes=1452), seconds=1.0, late_s=0.001)
    assert sent == pytest.approx(rate_bytes_s, rel=0.02)


def test_a_window_is_spread_over_four_fifths_of_the_round_trip() -> None:
    pacer = Pacer(datagram_bytes=SIZE)
    pacer.update_rate(congestion_window=80_000, smoothed_rtt=0.1)
    assert pacer.rate_bytes_s == 1_000_000
    model_driven = paced(5000)
    model_driven.update_rate(congestion_window=80_000, smoothed_rtt=0.1)
    assert model_driven.rate_bytes_s == 5000
    assert repr(model_driven) == "<Pacer 5000 B/s quantum=2000 credit=10000>"
    assert repr(Pacer(datagram_bytes=SIZE)) == "<Pacer unpaced quantum=2000 credit=10000>"
