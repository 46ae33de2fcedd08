from __future__ import annotations

from itertools import groupby
from statistics import fmean

import pytest

from ops.link.luck import Losses, Luck


def test_a_seed_repeats_its_luck_and_another_has_its_own() -> None:
    def draws(seed: int, direction: str) -> list[object]:
        luck = Luck(seed, direction)
        return [luck.draw() for _ in range(20)]

    assert draws(1, "up") == draws(1, "up")
    assert draws(1, "up") != draws(2, "up")
    assert draws(1, "up") != draws(1, "down")


def history(loss: float, burst: float, packets: int = 20_000) -> list[bool]:
    luck, losses = Luck(1, "up"), Losses()
    return [losses.lost(luck.draw().loss, loss=loss, burst=burst) for _ in range(packets)]


# The seed is fixed; the margins are four standard errors of 20 000 draws (bursts: of the runs that they hold).
@pytest.mark.parametrize(
    ("loss", "burst", "share", "run"),
    [
        (0.02, 1.0, pytest.approx(0.02, abs=0.004), pytest.approx(1.02, abs=0.03)),
        (0.3, 1.0, pytest.approx(0.3, abs=0.013), pytest.approx(1 / 0.7, abs=0.05)),
        (0.02, 5.0, pytest.approx(0.02, abs=0.012), pytest.approx(5.0, abs=2.2)),
        (0.5, 4.0, pytest.approx(0.5, abs=0.037), pytest.approx(4.0, abs=0.28)),
    ],
)
def test_losses_have_the_share_and_the_runs_asked_for(loss: float, burst: float, share: object, run: object) -> None:
    lost = history(loss, burst)
    assert fmean(lost) == share
    assert fmean(len(list(group)) for is_lost, group in groupby(lost) if is_lost) == run


def test_no_loss_and_total_loss_are_exact() -> None:
    assert not any(history(0.0, 1.0, 1000))
    assert not any(history(0.0, 5.0, 1000))
    assert all(history(1.0, 5.0, 1000))


def test_a_lower_loss_loses_no_packet_that_a_higher_one_does_not() -> None:
    low, high = history(0.01, 1.0), history(0.05, 1.0)
    assert all(in_high for in_low, in_high in zip(low, high, strict=True) if in_low)
