"""The best quality that is predicted to be on time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from policies.selection.base import NO_CANDIDATES, Candidate, Choice, Request
from policies.selection.finish import finishes_in_time


@dataclass(frozen=True, slots=True)
class GreedySettings:
    """What `Greedy` may be tuned by."""

    margin_sigmas: float = 0.0
    """Standard deviations of a batch's latency that are added to the predicted finish."""
    none_in_time: Literal["shed", "earliest"] = "shed"
    """What happens to a request that no candidate answers in time: refused, or sent where it finishes first."""


class Greedy:
    """Of the candidates predicted to finish within the slack, the one of highest quality.

    Ties go to the earlier finish, then to the order of the configuration. Knobs: `GreedySettings`. Cost: one prediction
    a candidate. Source: the rule is folklore; INFaaS and Proteus use it inside theirs. A candidate without a prediction
    and a profile is reckoned with its recent latency.
    """

    def __init__(self, settings: GreedySettings | None = None) -> None:
        self._settings = settings or GreedySettings()
        self._late = 0

    @property
    def name(self) -> str:
        """`greedy`, or `greedy_earliest` for the variant that never sheds."""
        return "greedy" if self._settings.none_in_time == "shed" else "greedy_earliest"

    def choose(self, request: Request, candidates: Sequence[Candidate], *, now: float) -> Choice:
        """The best candidate that is in time."""
        positions, in_time, finish_at = finishes_in_time(
            request, candidates, now=now, margin_sigmas=self._settings.margin_sigmas
        )
        if in_time:
            best = max(in_time, key=lambda position: (candidates[position].quality, -finish_at[position]))
            return Choice(best, "best in time")
        if not positions:
            return NO_CANDIDATES
        self._late += 1
        if self._settings.none_in_time == "shed":
            return NONE_IN_TIME
        return Choice(min(positions, key=finish_at.__getitem__), "none in time, earliest")

    def log_data(self) -> Mapping[str, object]:
        """How many requests no candidate could answer in time."""
        return {"none_in_time": self._late}


def greedy_earliest() -> Greedy:
    """The variant that sends a late request where it finishes first."""
    return Greedy(GreedySettings(none_in_time="earliest"))


NONE_IN_TIME = Choice(None, "no candidate would answer in time")
