"""Samples of the delivery rate from packets that leave and are acknowledged."""

from __future__ import annotations

import pytest

from proxy.quic.congestion.delivery_rate import DeliveryRateSampler, RateSample

SIZE = 1000


def acknowledge(sampler: DeliveryRateSampler, *numbers: int, now: float, min_rtt: float = 0.0) -> RateSample:
    for number in numbers:
        sampler.on_acked(number, now=now)
    sample = sampler.take_sample(now=now, min_rtt=min_rtt)
    assert sample is not None
    return sample


def test_acknowledgements_at_an_even_pace_show_that_pace() -> None:
    sampler = DeliveryRateSampler()
    seen = []
    for number in range(40):  # a packet each 10 ms, acknowledged 100 ms later
        sampler.on_sent(number, SIZE, in_flight=min(number, 9) * SIZE, now=number * 0.01)
        if number >= 9:
            seen.append(acknowledge(sampler, number - 9, now=number * 0.01 + 0.01))
    sample = seen[-1]
    assert sample.delivery_rate == pytest.approx(100_000)
    assert sample.rtt == pytest.approx(0.1)
    assert (sample.newly_acked, sample.lost, sample.tx_in_flight) == (SIZE, 0, 10 * SIZE)


def test_packets_that_left_together_show_the_pace_of_their_acknowledgements() -> None:
    sampler = DeliveryRateSampler()
    for number in range(10):
        sampler.on_sent(number, SIZE, in_flight=number * SIZE, now=0.0)
    rates = [acknowledge(sampler, number, now=0.1 + number * 0.01).delivery_rate for number in range(10)]
    assert rates[0] == pytest.approx(10_000)
    assert rates[9] == pytest.approx(10_000 / 0.19)


def test_acknowledgements_that_come_together_show_no_more_than_was_sent() -> None:
    sampler = DeliveryRateSampler()
    for number in range(10):
        sampler.on_sent(number, SIZE, in_flight=number * SIZE, now=number * 0.01)
    acknowledge(sampler, 0, now=0.1)
    for number in range(10, 20):
        sampler.on_sent(number, SIZE, in_flight=9 * SIZE, now=number * 0.01)
    sample = acknowledge(sampler, *range(1, 20), now=0.2)
    assert sample.delivery_rate == pytest.approx(19_000 / 0.19)


def test_an_interval_shorter_than_a_round_trip_says_nothing() -> None:
    sampler = DeliveryRateSampler()
    sampler.on_sent(0, SIZE, in_flight=0, now=0.0)
    assert acknowledge(sampler, 0, now=0.05, min_rtt=0.1).delivery_rate == 0.0


def test_a_sample_spans_a_pause_only_if_it_is_marked() -> None:
    sampler = DeliveryRateSampler()
    sampler.on_sent(0, SIZE, in_flight=0, now=0.0)
    sampler.mark_app_limited(SIZE)
    first = acknowledge(sampler, 0, now=0.1)
    sampler.on_sent(1, SIZE, in_flight=0, now=5.0)
    sampler.on_sent(2, SIZE, in_flight=SIZE, now=5.0)
    second = acknowledge(sampler, 1, now=5.1)
    third = acknowledge(sampler, 2, now=5.11)
    assert [first.app_limited, second.app_limited, third.app_limited] == [False, True, True]
    assert second.delivery_rate == pytest.approx(10_000)  # the pause is not part of it
    sampler.on_sent(3, SIZE, in_flight=0, now=5.2)
    assert not sampler.app_limited
    assert not acknowledge(sampler, 3, now=5.3).app_limited


def test_losses_are_counted_from_when_a_packet_left() -> None:
    sampler = DeliveryRateSampler()
    for number in range(4):
        sampler.on_sent(number, SIZE, in_flight=number * SIZE, now=number * 0.01)
    packet = sampler.on_lost(1)
    assert packet is not None
    assert (packet.size, packet.tx_in_flight) == (SIZE, 2 * SIZE)
    sampler.on_sent(4, SIZE, in_flight=3 * SIZE, now=0.05)
    assert acknowledge(sampler, 0, now=0.1).newly_lost == SIZE
    assert acknowledge(sampler, 3, now=0.13).lost == SIZE
    assert acknowledge(sampler, 4, now=0.15).lost == 0
    assert (sampler.lost, sampler.lost_packets) == (SIZE, 1)
    sampler.on_late(SIZE)
    assert (sampler.lost, sampler.lost_packets, sampler.delivered) == (0, 0, 4 * SIZE)


def test_nothing_new_is_no_sample() -> None:
    sampler = DeliveryRateSampler()
    sampler.on_sent(0, SIZE, in_flight=0, now=0.0)
    sampler.on_expired(0)
    sampler.on_acked(0, now=0.1)
    assert sampler.on_lost(0) is None
    assert sampler.take_sample(now=0.1, min_rtt=0.0) is None
    assert repr(sampler) == "<DeliveryRateSampler delivered=0 lost=0 in flight=0>"
