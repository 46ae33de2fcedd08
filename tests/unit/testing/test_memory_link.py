from __future__ import annotations

import random
from dataclasses import replace

import pytest

from proxy.testing.memory_link import Link, LinkSettings, LinkStatistics

A, B, C = b"a" * 1000, b"b" * 1000, b"c" * 1000


def test_a_link_without_settings_passes_everything_at_once() -> None:
    link = Link()
    assert link.send(A, now=3.0) == [(3.0, A)]
    assert link.statistics() == LinkStatistics(sent=1, sent_bytes=1000)


def test_rate_and_delay_add_up() -> None:
    link = Link(LinkSettings(delay_s=0.05, rate_bytes_s=10_000))
    sent = [*link.send(A, now=0.0), *link.send(B, now=0.0), *link.send(C, now=10.0)]
    assert [data for _, data in sent] == [A, B, C]
    assert [at for at, _ in sent] == pytest.approx([0.15, 0.25, 10.15])


def test_a_full_queue_drops_what_comes_last() -> None:
    link = Link(LinkSettings(rate_bytes_s=1000, queue_bytes=2000))
    assert [bool(link.send(data, now=0.0)) for data in (A, B, C)] == [True, True, False]
    assert [bool(link.send(data, now=1.0)) for data in (A, B)] == [True, False]
    assert link.statistics() == LinkStatistics(sent=5, sent_bytes=5000, dropped=2)


def test_a_datagram_longer_than_the_mtu_is_dropped() -> None:
    link = Link(LinkSettings(mtu_bytes=999))
    assert link.send(A, now=0.0) == []
    assert link.send(A[:999], now=0.0) == [(0.0, A[:999])]


def test_shares_are_met_and_repeat_with_the_seed() -> None:
    settings = LinkSettings(delay_s=0.1, loss=0.1, duplicate=0.2, corrupt=0.3, reorder=0.4, reorder_delay_s=1.0)

    def run() -> tuple[list[list[tuple[float, bytes]]], LinkStatistics]:
        link = Link(settings, rng=random.Random(1))
        return [link.send(A, now=float(second)) for second in range(1000)], link.statistics()

    arrivals, statistics = run()
    assert statistics == LinkStatistics(
        sent=1000, sent_bytes=1_000_000, dropped=104, duplicated=184, corrupted=280, reordered=338
    )
    assert (arrivals, statistics) == run()


def test_one_setting_does_not_move_the_luck_of_another() -> None:
    lossy = Link(LinkSettings(loss=0.1), rng=random.Random(1))
    doubling_too = Link(LinkSettings(loss=0.1, duplicate=0.5, corrupt=0.5), rng=random.Random(1))
    assert [bool(lossy.send(A, now=0)) for _ in range(100)] == [bool(doubling_too.send(A, now=0)) for _ in range(100)]


def test_corruption_turns_one_bit_over() -> None:
    link = Link(LinkSettings(corrupt=1.0))
    [(_, arrived)] = link.send(bytes(100), now=0.0)
    assert len(arrived) == 100
    assert sum(byte.bit_count() for byte in arrived) == 1


def test_a_reordered_datagram_comes_behind_later_ones() -> None:
    link = Link(LinkSettings(delay_s=0.1, reorder=1.0, reorder_delay_s=0.5))
    assert link.send(A, now=0.0) == [(0.6, A)]
    link.settings = replace(link.settings, reorder=0.0)
    assert link.send(B, now=0.1) == [(0.2, B)]


def test_the_next_datagrams_can_be_lost_on_purpose() -> None:
    link = Link()
    link.lose_next(2)
    assert [bool(link.send(data, now=0.0)) for data in (A, B, C)] == [False, False, True]
