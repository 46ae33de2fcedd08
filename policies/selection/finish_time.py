"""Rules that look at the time of finishing alone, and leave quality out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from policies.selection.base import NO_CANDIDATES, Candidate, Choice, Request
from policies.selection.draws import Draws, SplitMix64
from policies.selection.finish import finishes_in_time
from policies.selection.greedy import NONE_IN_TIME


@dataclass(frozen=True, slots=True)
class FinishTimeSettings:
    """What both rules may be tuned by."""

    margin_sigmas: float = 0.0
    """Standard deviations of a batch's latency that are added to the predicted finish."""


@dataclass(frozen=True, slots=True)
class HeadroomSettings:
    """What `LeastPositiveHeadroom` may be tuned by."""

    margin_sigmas: float = 0.0
    """Standard deviations of a batch's latency that are added to the predicted finish."""
    exploration: float = 0.01
    """Share of decisions that go to a candidate predicted to be late, if there is one; the source's value."""


class LatestFinish:
    """Of the candidates that finish in time, the one that finishes last.

    Slow candidates are the accurate ones as a rule, and fast ones stay free for tight deadlines. Ties go to the
    higher quality, then to the order of the configuration. Sheds if none finishes in time. Cost: one prediction a
    candidate. Source: the latest-finish rule among Proteus' baselines (ASPLOS 2024). Differences: shedding, which the
    source leaves open; without a profile the recent latency counts.
    """

    name = "latest_finish"

    def __init__(self, settings: FinishTimeSettings | None = None) -> None:
        self._settings = settings or FinishTimeSettings()

    def choose(self, request: Request, candidates: Sequence[Candidate], *, now: float) -> Choice:
        """The last to finish in time."""
        positions, in_time, finish_at = finishes_in_time(
            request, candidates, now=now, margin_sigmas=self._settings.margin_sigmas
        )
        if not in_time:
            return NONE_IN_TIME if positions else NO_CANDIDATES
        last = max(in_time, key=lambda position: (finish_at[position], candidates[position].quality))
        return Choice(last, "last to finish in time")

    def log_data(self) -> Mapping[str, object]:
        """Nothing: it has no memory."""
        return {}


class EarliestFinish:
    """Of the candidates that finish in time, the one that finishes first; sheds if none does.

    Ties go to the higher quality, then to the order of the configuration. Cost and source as `LatestFinish`.
    """

    name = "earliest_finish"

    def __init__(self, settings: FinishTimeSettings | None = None) -> None:
        self._settings = settings or FinishTimeSettings()

    def choose(self, request: Request, candidates: Sequence[Candidate], *, now: float) -> Choice:
        """The first to finish, if in time."""
        positions, in_time, finish_at = finishes_in_time(
            request, candidates, now=now, margin_sigmas=self._settings.margin_sigmas
        )
        if not in_time:
            return NONE_IN_TIME if positions else NO_CANDIDATES
        first = min(in_time, key=lambda position: (finish_at[position], -candidates[position].quality))
        return Choice(first, "first to finish")

    def log_data(self) -> Mapping[str, object]:
        """Nothing: it has no memory."""
        return {}


class LeastPositiveHeadroom:
    """The candidate whose prediction leaves the least time to the deadline and still some; rarely one that is late.

    Headroom is slack less predicted time. If none is positive, the greatest one. Ties go to the higher quality, then
    to the order of the configuration. Exploration keeps predictions of late candidates from going stale. Never sheds.
    Cost: one prediction a candidate and a draw. Source: llm-d's predicted-latency scorer, with 1 % exploration.
    Differences: one headroom, of the whole answer, where the source blends those of the first and of later tokens;
    the order of candidates in time is that of `LatestFinish`.
    """

    name = "least_positive_headroom"

    def __init__(self, settings: HeadroomSettings | None = None, draws: Draws | None = None) -> None:
        self._settings = settings or HeadroomSettings()
        self._draws = draws or SplitMix64()
        self._explored = 0

    def choose(self, request: Request, candidates: Sequence[Candidate], *, now: float) -> Choice:
        """The candidate of least positive headroom, or now and then one of negative headroom."""
        positions, in_time, finish_at = finishes_in_time(
            request, candidates, now=now, margin_sigmas=self._settings.margin_sigmas
        )
        if not positions:
            return NO_CANDIDATES
        late = [position for position in positions if position not in in_time]
        if in_time and late and self._draws.random() < self._settings.exploration:
            self._explored += 1
            return Choice(min(late, key=finish_at.__getitem__), "explores a late one")
        if in_time:
            least = max(in_time, key=lambda position: (finish_at[position], candidates[position].quality))
            return Choice(least, "least headroom")
        return Choice(
            min(late, key=lambda position: (finish_at[position], -candidates[position].quality)),
            "none in time, most headroom",
        )

    def log_data(self) -> Mapping[str, object]:
        """How many decisions explored."""
        return {"explored": self._explored}
