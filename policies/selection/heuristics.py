"""Policies that spread requests without looking at deadlines or quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from policies.selection.base import NO_CANDIDATES, Candidate, Choice, Request, choosable


class RoundRobin:
    """Each candidate in turn: the one that was chosen longest ago.

    Ties, that is candidates never chosen, go in the order of the configuration. A candidate that comes back after it
    was away is the next one served. Cost grows with the number of candidates.
    """

    name = "round_robin"

    def __init__(self) -> None:
        self._decisions = 0
        self._chosen_last: dict[tuple[str, str], int] = {}

    def choose(self, request: Request, candidates: Sequence[Candidate], *, now: float) -> Choice:
        """The candidate whose turn it is."""
        positions = choosable(candidates)
        if not positions:
            return NO_CANDIDATES
        position = min(positions, key=lambda position: self._chosen_last.get(_key(candidates[position]), 0))
        self._decisions += 1
        self._chosen_last[_key(candidates[position])] = self._decisions
        return Choice(position, "its turn")

    def log_data(self) -> Mapping[str, object]:
        """How many decisions it has taken."""
        return {"decisions": self._decisions}


class LeastLoaded:
    """The candidate with the fewest requests running and waiting.

    Ties go to the higher quality, then to the order of the configuration. Cost grows with the number of candidates.
    """

    name = "least_loaded"

    def choose(self, request: Request, candidates: Sequence[Candidate], *, now: float) -> Choice:
        """The candidate with the least load now."""
        positions = choosable(candidates)
        if not positions:
            return NO_CANDIDATES
        position = min(positions, key=lambda position: (candidates[position].load, -candidates[position].quality))
        return Choice(position, f"load {candidates[position].load}")

    def log_data(self) -> Mapping[str, object]:
        """Nothing: it has no memory."""
        return {}


def _key(candidate: Candidate) -> tuple[str, str]:
    return candidate.instance, candidate.name
