"""One model for everything: what a deployment without selection does, and the baseline of every comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from policies.selection.base import NO_CANDIDATES, Candidate, Choice, Request, choosable


class Static:
    """Always the candidate of one model name.

    While it is not ready, or has already failed the request, the best other candidate by quality stands in. With the
    same model on several Tritons the one with the least load is taken.
    """

    def __init__(self, model: str) -> None:
        self._model = model

    @property
    def name(self) -> str:
        """`static:` and the model's name."""
        return f"static:{self._model}"

    def choose(self, request: Request, candidates: Sequence[Candidate], *, now: float) -> Choice:
        """The candidate of the name; cost grows with the number of candidates."""
        positions = choosable(candidates)
        if not positions:
            return NO_CANDIDATES
        named = [position for position in positions if candidates[position].name == self._model]
        if named:
            return Choice(min(named, key=lambda position: candidates[position].load), "static")
        best = max(positions, key=lambda position: (candidates[position].quality, -candidates[position].load))
        return Choice(best, f"stands in for {self._model}")

    def log_data(self) -> Mapping[str, object]:
        """The model's name."""
        return {"model": self._model}
