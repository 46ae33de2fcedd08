from __future__ import annotations

import math
import random

import pytest

from ops.link.lane import Fate, Lane
from ops.link.settings import Direction, LinkSettings
from proxy.testing.memory_link import Link as MemoryLink
from proxy.testing.memory_link import LinkSettings as MemorySettings

MBIT = LinkSettings(rate_bits_s=1e6)
"""125 bytes take a millisecond."""


def lane(settings: LinkSettings, seed: int = 1) -> Lane:
    return Lane(settings, seed=seed, direction=Direction.UP)


def times(one: Lane, *, until: float = 1000.0) -> list[float]:
    """Of arrival, to the nanosecond."""
    return [round(packet.arrives_at, 9) for packet in one.arrived(now=until)]


def test_a_packet_takes_its_length_over_the_rate_and_then_the_delay() -> None:
    one = lane(LinkSettings(rate_bits_s=1e6, delay_s=0.05))
    one.enter(bytes(125), now=10.0)
    assert one.next_at() == pytest.approx(10.051)
    assert one.arrived(now=10.0509) == []
    (packet,) = one.arrived(now=10.0511)
    assert [packet.sent_at, packet.left_at, packet.arrives_at] == pytest.approx([10.0, 10.001, 10.051])
    assert packet.fate is Fate.DELIVERED
    assert one.next_at() == math.inf


def test_without_a_rate_there_is_no_queue() -> None:
    one = lane(LinkSettings(delay_s=0.05, queue_bytes=0))
    for _ in range(100):
        one.enter(bytes(1500), now=1.0)
    assert times(one) == [1.05] * 100


def test_packets_wait_for_each_other_and_not_for_who_looks_late() -> None:
    looked_at, not_looked_at = lane(MBIT), lane(MBIT)
    seen = []
    for number in range(10):
        now = number * 0.0005
        seen += times(looked_at, until=now)
        looked_at.enter(bytes(125), now=now)
        not_looked_at.enter(bytes(125), now=now)
    expected = [round(0.001 * (number + 1), 9) for number in range(10)]
    assert seen + times(looked_at) == expected
    assert times(not_looked_at) == expected


def test_the_wire_rests_when_nothing_waits() -> None:
    one = lane(MBIT)
    one.enter(bytes(125), now=0.0)
    one.enter(bytes(125), now=5.0)
    assert times(one) == [0.001, 5.001]


def test_what_does_not_fit_into_the_queue_is_dropped() -> None:
    one = lane(LinkSettings(rate_bits_s=1e6, queue_bytes=300))
    fates = [one.enter(bytes(125), now=0.0).fate for _ in range(4)]
    # One is on the wire, two wait.
    assert fates == [None, None, None, Fate.DROPPED]
    assert one.enter(bytes(50), now=0.0).fate is None
    assert one.enter(bytes(50), now=0.001).fate is None  # one has left the queue meanwhile
    assert times(one) == [0.001, 0.002, 0.003, 0.0034, 0.0038]
    statistics = one.statistics()
    assert (statistics.dropped, statistics.delivered, statistics.queue_bytes_max) == (1, 5, 300)


def test_a_packet_larger_than_the_queue_passes_an_idle_wire() -> None:
    one = lane(LinkSettings(rate_bits_s=1e6, queue_bytes=100))
    assert one.enter(bytes(1250), now=0.0).fate is None
    assert one.enter(bytes(1250), now=0.0).fate is Fate.DROPPED


def test_a_lost_packet_takes_no_capacity() -> None:
    one = lane(LinkSettings(rate_bits_s=1e6, loss=0.5))
    fates = [one.enter(bytes(125), now=0.0).fate for _ in range(40)]
    passed = fates.count(None)
    assert 8 < passed < 32
    assert times(one) == [round(0.001 * (number + 1), 9) for number in range(passed)]
    assert one.statistics().lost == 40 - passed


def test_too_long_a_packet_vanishes() -> None:
    one = lane(LinkSettings(mtu_bytes=1280))
    assert [one.enter(bytes(size), now=0.0).fate for size in (1280, 1281)] == [None, Fate.TOO_LONG]
    assert one.statistics().too_long == 1


def test_jitter_is_within_its_bounds_and_keeps_the_order() -> None:
    one = lane(LinkSettings(delay_s=0.05, jitter_s=0.01))
    for number in range(500):
        one.enter(bytes(100), now=number * 0.001)
    packets = one.arrived(now=10.0)
    assert [packet.entered_at for packet in packets] == [pytest.approx(number * 0.001) for number in range(500)]
    delays = [packet.arrives_at - packet.entered_at for packet in packets]
    # One that is held up holds up those behind it, so that short delays are rare among packets that follow closely.
    assert 0.04 <= min(delays) < 0.05
    assert 0.058 < max(delays) <= 0.06 + 1e-9


def test_jitter_alone_is_even() -> None:
    one = lane(LinkSettings(delay_s=0.05, jitter_s=0.01))
    for number in range(2000):
        one.enter(bytes(100), now=float(number))
    delays = [packet.arrives_at - packet.entered_at for packet in one.arrived(now=3000.0)]
    assert sum(delays) / 2000 == pytest.approx(0.05, abs=0.0006)  # four standard errors


def test_jitter_above_the_delay_never_goes_back_in_time() -> None:
    one = lane(LinkSettings(rate_bits_s=1e6, delay_s=0.001, jitter_s=0.01))
    for number in range(200):
        one.enter(bytes(125), now=number * 0.1)
        assert one.next_at() == pytest.approx(number * 0.1 + 0.001)
        (packet,) = one.arrived(now=number * 0.1 + 0.05)
        assert packet.arrives_at >= packet.left_at


def test_reordered_packets_are_passed_by_those_behind_them() -> None:
    one = lane(LinkSettings(delay_s=0.05, reorder=0.1, reorder_delay_s=0.01))
    for number in range(1000):
        one.enter(bytes(100), now=number * 0.001)
    packets = one.arrived(now=10.0)
    late = [packet for packet in packets if packet.arrives_at - packet.entered_at > 0.055]
    assert len(late) == one.statistics().reordered == pytest.approx(100, abs=38)
    assert all(packet.arrives_at - packet.entered_at == pytest.approx(0.06) for packet in late)
    order = [round(packet.entered_at * 1000) for packet in packets]
    assert sorted(order) == list(range(1000))
    assert order != list(range(1000))


def test_a_copy_comes_right_behind_and_takes_no_capacity() -> None:
    one = lane(LinkSettings(rate_bits_s=1e6, duplicate=1.0))
    for name in (b"a", b"b"):
        one.enter(name * 125, now=0.0)
    packets = one.arrived(now=1.0)
    assert [(packet.data[:1], packet.fate) for packet in packets] == [
        (b"a", Fate.DELIVERED),
        (b"a", Fate.DUPLICATE),
        (b"b", Fate.DELIVERED),
        (b"b", Fate.DUPLICATE),
    ]
    assert [packet.arrives_at for packet in packets] == [pytest.approx(at) for at in (0.001, 0.001, 0.002, 0.002)]
    assert (one.statistics().delivered, one.statistics().duplicated) == (2, 2)


def test_another_rate_holds_for_what_waits_and_for_the_rest_of_what_is_on_the_wire() -> None:
    one = lane(MBIT)
    for _ in range(2):
        one.enter(bytes(1250), now=0.0)
    one.change(LinkSettings(rate_bits_s=2e6), now=0.005)
    # Half of the first took 5 ms, the other half takes 2.5 ms, the second 5 ms.
    assert times(one) == [0.0075, 0.0125]


def test_at_no_rate_packets_wait_until_there_is_one() -> None:
    one = lane(MBIT)
    one.enter(bytes(1250), now=0.0)
    one.change(LinkSettings(rate_bits_s=0.0), now=0.005)
    one.enter(bytes(1250), now=0.006)
    assert (one.next_at(), one.arrived(now=50.0)) == (math.inf, [])
    one.change(MBIT, now=100.0)
    assert times(one) == [100.005, 100.015]


def test_a_shorter_delay_reorders_nothing() -> None:
    one = lane(LinkSettings(delay_s=0.1))
    one.enter(b"a", now=0.0)
    one.change(LinkSettings(delay_s=0.01), now=0.05)
    one.enter(b"b", now=0.05)
    one.enter(b"c", now=0.2)
    assert [(packet.data, packet.arrives_at) for packet in one.arrived(now=1.0)] == [
        (b"a", 0.1),
        (b"b", 0.1),
        (b"c", pytest.approx(0.21)),
    ]


def test_one_setting_does_not_move_the_luck_of_another() -> None:
    def lost(settings: LinkSettings) -> list[int]:
        one = lane(settings)
        return [number for number in range(500) if one.enter(bytes(125), now=number * 0.0001).fate is Fate.LOST]

    alone = lost(LinkSettings(loss=0.05))
    assert 10 < len(alone) < 45
    others = LinkSettings(
        loss=0.05, rate_bits_s=1e6, queue_bytes=500, jitter_s=0.02, reorder=0.5, duplicate=0.5, delay_s=0.1
    )
    assert lost(others) == alone


def test_the_wait_is_counted() -> None:
    one = lane(MBIT)
    for _ in range(3):
        one.enter(bytes(125), now=0.0)
    one.arrived(now=0.0035)
    statistics = one.statistics()
    assert statistics.queueing_s_mean == pytest.approx(0.001)
    assert statistics.queueing_s_max == pytest.approx(0.002)
    assert statistics.queue_bytes_mean == pytest.approx((0 + 0 + 125) / 3)
    assert statistics.lateness_s_max == pytest.approx(0.0025)
    assert (statistics.packets, statistics.bytes, statistics.delivered_bytes) == (3, 375, 375)
    one.reset_statistics()
    assert one.statistics().packets == 0


def test_it_shows_what_is_on_it() -> None:
    one = lane(MBIT)
    for _ in range(3):
        one.enter(bytes(125), now=0.0)
    assert repr(one) == "<Lane up waiting=250 B under_way=0>"


def test_with_a_queue_that_never_fills_it_agrees_with_the_link_in_memory() -> None:
    rng = random.Random(3)
    here = lane(LinkSettings(rate_bits_s=5e6, delay_s=0.05, queue_bytes=math.inf))
    memory = MemoryLink(MemorySettings(rate_bytes_s=5e6 / 8, delay_s=0.05))
    now, expected = 0.0, []
    for _ in range(500):
        now += rng.expovariate(500)
        data = bytes(rng.randrange(40, 1500))
        here.enter(data, now=now)
        expected += [round(at, 9) for at, _ in memory.send(data, now=now)]
    assert times(here) == expected
