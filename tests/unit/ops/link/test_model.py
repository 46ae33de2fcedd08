from __future__ import annotations

import math

import pytest

from ops.link.errors import SettingsError
from ops.link.model import Model
from ops.link.settings import Change, Direction, LinkSettings

UP, DOWN = Direction.UP, Direction.DOWN


def delays(model: Model, direction: Direction, *, now: float) -> list[float]:
    return [round(packet.arrives_at - packet.entered_at, 9) for packet in model.arrived(direction, now=now)]


def test_directions_have_their_own_settings_and_queues() -> None:
    model = Model(LinkSettings(rate_bits_s=1e6, down={"rate_bits_s": 2e6}), seed=1, now=0.0)
    for direction in Direction:
        for _ in range(2):
            model.enter(direction, bytes(125), now=1.0)
    assert model.next_at() == pytest.approx(1.0005)
    assert delays(model, UP, now=2.0) == [0.001, 0.002]
    assert delays(model, DOWN, now=2.0) == [0.0005, 0.001]


def test_changes_count_from_the_first_packet() -> None:
    settings = LinkSettings(
        delay_s=0.01, changes=(Change(2.0, {"delay_s": 0.03}, DOWN), Change(1.0, {"delay_s": 0.02}))
    )
    model = Model(settings, seed=1, now=0.0)
    assert model.next_at() == math.inf
    for now in (100.0, 100.9, 101.1, 102.1):
        for direction in Direction:
            model.enter(direction, b"x", now=now)
    assert delays(model, UP, now=200.0) == [0.01, 0.01, 0.02, 0.02]
    assert delays(model, DOWN, now=200.0) == [0.01, 0.01, 0.02, 0.03]


def test_a_change_comes_at_its_time_however_late_anybody_looks() -> None:
    model = Model(LinkSettings(rate_bits_s=1e6, changes=(Change(0.005, {"rate_bits_s": 2e6}),)), seed=1, now=0.0)
    for _ in range(2):
        model.enter(UP, bytes(1250), now=0.0)
    assert model.next_at() == 0.005
    assert delays(model, UP, now=1.0) == [0.0075, 0.0125]


def test_the_clock_starts_again_from_the_first_settings() -> None:
    model = Model(LinkSettings(delay_s=0.01, changes=(Change(1.0, {"delay_s": 0.02}),)), seed=1, now=0.0)
    model.enter(UP, b"x", now=0.0)
    model.enter(UP, b"x", now=1.5)
    model.restart_clock(now=2.0)
    for now in (2.5, 3.5):
        model.enter(UP, b"x", now=now)
    assert delays(model, UP, now=9.0) == [0.01, 0.02, 0.01, 0.02]


def test_a_change_by_hand_holds_from_now_on() -> None:
    model = Model(LinkSettings(delay_s=0.01), seed=1, now=0.0)
    model.change({"delay_s": 0.05}, direction=UP, now=1.0)
    for direction in Direction:
        model.enter(direction, b"x", now=1.0)
    assert (delays(model, UP, now=2.0), delays(model, DOWN, now=2.0)) == ([0.05], [0.01])


def test_a_refused_change_changes_nothing() -> None:
    model = Model(LinkSettings(down={"loss": 0.9}), seed=1, now=0.0)
    with pytest.raises(SettingsError, match="loss_burst is 2"):
        model.change({"loss_burst": 2.0}, direction=None, now=0.0)
    assert [lane.settings.loss_burst for lane in model.lanes.values()] == [1.0, 1.0]


def test_statistics_cover_both_directions_until_they_are_reset() -> None:
    model = Model(LinkSettings(rate_bits_s=1e6), seed=1, now=5.0)
    model.enter(UP, bytes(125), now=6.0)
    model.arrived(UP, now=7.0)
    statistics = model.statistics(now=8.0, reset=True)
    assert (statistics.seconds, statistics.up.delivered, statistics.down.packets) == (3.0, 1, 0)
    assert statistics.rate_bits_s == 1e6
    after = model.statistics(now=9.0)
    assert (after.seconds, after.up.delivered) == (1.0, 0)


def test_the_same_seed_and_packets_have_the_same_fates() -> None:
    settings = LinkSettings(rate_bits_s=1e6, loss=0.1, jitter_s=0.01, delay_s=0.02, reorder=0.1, duplicate=0.1)

    def fates(seed: int) -> list[tuple[object, float]]:
        model = Model(settings, seed=seed, now=0.0)
        packets = [model.enter(UP, bytes(200), now=number * 0.001) for number in range(200)]
        model.arrived(UP, now=100.0)
        return [(packet.fate, packet.arrives_at) for packet in packets if not math.isnan(packet.arrives_at)]

    assert fates(1) == fates(1)
    assert fates(1) != fates(2)


def test_it_shows_where_it_is() -> None:
    model = Model(LinkSettings(changes=(Change(1.0, {"loss": 0.5}),)), seed=1, now=0.0)
    assert repr(model) == ("<Model <Lane up waiting=0 B under_way=0> <Lane down waiting=0 B under_way=0> changes=0/1>")
