"""Policies that choose by chance: the floor of every comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from policies.selection.base import NO_CANDIDATES, Candidate, Choice, Request, choosable
from policies.selection.draws import Draws, SplitMix64


class Random:
    """Any candidate, each as likely as the others.

    Knobs: none; `draws` is the seeded generator. Cost: one draw. Source: common.
    """

    name = "random"

    def __init__(self, draws: Draws | None = None) -> None:
        self._draws = draws or SplitMix64()
        self._decisions = 0

    def choose(self, request: Request, candidates: Sequence[Candidate], *, now: float) -> Choice:
        """A candidate drawn from those that are ready."""
        positions = choosable(candidates)
        if not positions:
            return NO_CANDIDATES
        self._decisions += 1
        return Choice(positions[drawn(self._draws, len(positions))], "drawn")

    def log_data(self) -> Mapping[str, object]:
        """How many decisions it has taken."""
        return {"decisions": self._decisions}


class PowerOfTwo:
    """The less loaded of two candidates that are drawn.

    Ties go to the higher quality, then to the one drawn first. Knobs: none. Cost: two draws, whatever the number of
    candidates. Source: Mitzenmacher, "The power of two choices in randomized load balancing" (1996). Difference: load
    is running and waiting requests, not queue length alone.
    """

    name = "power_of_two"

    def __init__(self, draws: Draws | None = None) -> None:
        self._draws = draws or SplitMix64()
        self._decisions = 0

    def choose(self, request: Request, candidates: Sequence[Candidate], *, now: float) -> Choice:
        """The less loaded of two different candidates."""
        positions = choosable(candidates)
        if not positions:
            return NO_CANDIDATES
        self._decisions += 1
        first = positions.pop(drawn(self._draws, len(positions)))
        pair = [first, positions[drawn(self._draws, len(positions))]] if positions else [first]
        position = min(pair, key=lambda position: (candidates[position].load, -candidates[position].quality))
        return Choice(position, f"load {candidates[position].load}, the less of {len(pair)}")

    def log_data(self) -> Mapping[str, object]:
        """How many decisions it has taken."""
        return {"decisions": self._decisions}


def drawn(draws: Draws, count: int) -> int:
    """A number from 0 to `count` - 1."""
    return int(draws.random() * count)
