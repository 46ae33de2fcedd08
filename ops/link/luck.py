"""What chance decides: the same seed brings the same luck to the n-th packet of a direction, whatever the settings."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Draws:
    """One packet's numbers, each from 0 to below 1."""

    loss: float
    jitter: float
    reorder: float
    duplicate: float


class Luck:
    """One direction's draws. Each setting has a generator of its own, and every packet draws from all of them."""

    def __init__(self, seed: int, direction: str) -> None:
        loss, jitter, reorder, duplicate = (
            random.Random(f"{seed}/{direction}/{what}") for what in ("loss", "jitter", "reorder", "duplicate")
        )
        self._next = (loss.random, jitter.random, reorder.random, duplicate.random)

    def draw(self) -> Draws:
        """For the next packet."""
        loss, jitter, reorder, duplicate = self._next
        return Draws(loss(), jitter(), reorder(), duplicate())


class Losses:
    """Which packets are lost, alone or in runs.

    Runs: Gilbert's model, a good state that loses nothing and a bad one that loses everything (E. N. Gilbert, Capacity
    of a burst-noise channel, 1960). For a share `loss` in runs of `burst` packets on average, the bad state ends with
    probability 1 / burst after each packet, the good one with loss / (burst × (1 − loss)).
    """

    def __init__(self) -> None:
        self._bad: bool | None = None

    def lost(self, draw: float, *, loss: float, burst: float) -> bool:
        """Whether the next packet is lost. A lower draw is worse luck, in every state."""
        if burst <= 1 or loss >= 1 or self._bad is None:
            chance = loss
        elif self._bad:
            chance = 1 - 1 / burst
        else:
            chance = loss / (burst * (1 - loss))
        self._bad = draw < chance
        return self._bad
