"""The model by the arrival rate: a table made beforehand, or two thresholds set by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from policies.selection.base import NO_CANDIDATES, Candidate, Choice, Request, choosable
from policies.selection.finish import peak_rate
from policies.selection.rate import ArrivalRate

Table = tuple[tuple[float, str], ...]
"""(rate up to which, model), ascending; the last rate is `math.inf`."""


@dataclass(frozen=True, slots=True)
class SwitchingSettings:
    """What `ModelSwitching` may be tuned by."""

    table: Table = ()
    """Which model up to which arrival rate, in requests a second; empty: from the profiles, by `utilisation`."""
    utilisation: float = 0.7
    """Without a table: share of its peak rate up to which a model is used."""
    hold_s: float = 3.0
    """How long the rate must ask for a model of higher quality before it is used."""


@dataclass(frozen=True, slots=True)
class ThresholdSettings:
    """What `ThresholdSwitching` may be tuned by."""

    low: float = 10.0
    """Requests a second up to which the best model answers."""
    high: float = 40.0
    """Requests a second up to which the middle model answers; past it the one of least quality does."""
    hold_s: float = 3.0
    """How long the rate must ask for a model of higher quality before it is used."""


class Hysteresis:
    """Steps down at once, and up only when it was asked to for `hold_s` without a break. Level 0 is the top."""

    def __init__(self, hold_s: float) -> None:
        self._hold_s = hold_s
        self._level = math.inf
        self._asked_up_at = math.inf

    def step(self, wanted: float, *, now: float) -> float:
        """The level to use when `wanted` is asked for."""
        if wanted >= self._level or math.isinf(self._level):
            self._level, self._asked_up_at = wanted, math.inf
            return wanted
        self._asked_up_at = min(self._asked_up_at, now)
        if now - self._asked_up_at >= self._hold_s:
            self._level, self._asked_up_at = wanted, math.inf
        return self._level


class ModelSwitching:
    """The model that an offline table names for the arrival rate.

    Idea: at each arrival rate one static model scores best; measure that beforehand (`switching_table`), estimate the
    rate, follow the table. Down, to the model of a higher rate, at once; up after `hold_s`. While the model is not
    ready the next one down stands in. With the same model on several Tritons the least loaded is taken.

    Knobs: `SwitchingSettings`. Cost: one pass over the table. Source: Zhang et al., "Model-Switching" (HotCloud 2020).
    Differences: hysteresis; without a table, a model is used up to `utilisation` of its peak rate (from the profile,
    else one request at a time at the recent latency), the best one first.
    """

    name = "model_switching"

    def __init__(self, settings: SwitchingSettings | None = None) -> None:
        self._settings = settings or SwitchingSettings()
        self._rate = ArrivalRate()
        self._hysteresis = Hysteresis(self._settings.hold_s)
        self._current = ""

    def choose(self, request: Request, candidates: Sequence[Candidate], *, now: float) -> Choice:
        """The candidate of the table's model."""
        rate = self._rate.seen(request, now=now).fast_rate
        positions = choosable(candidates)
        if not positions:
            return NO_CANDIDATES
        table = self._settings.table or _table_of_peaks(candidates, self._settings.utilisation)
        wanted = next((level for level, (limit, _) in enumerate(table) if rate <= limit), len(table) - 1)
        level = min(int(self._hysteresis.step(wanted, now=now)), len(table) - 1)
        models = [model for _, model in (*table[level:], *reversed(table[:level]))]
        self._current = next(
            (model for model in models if any(candidates[position].name == model for position in positions)),
            candidates[positions[0]].name,
        )
        return _least_loaded(self._current, candidates, positions, f"{rate:.1f} requests/s")

    def log_data(self) -> Mapping[str, object]:
        """The model in use."""
        return {"model": self._current}


class ThresholdSwitching:
    """The best model up to one arrival rate, the middle one up to another, the last one past it: set by hand.

    What operators deploy. Models are ordered by quality; of two the second is middle and last, and the middle of more
    than three is the lower median. Hysteresis, ties and readiness as in `ModelSwitching`. Knobs: `ThresholdSettings`.
    """

    def __init__(self, settings: ThresholdSettings | None = None) -> None:
        self._settings = settings or ThresholdSettings()
        if not self._settings.low <= self._settings.high:
            raise ValueError("the first threshold must not be above the second")
        self._rate = ArrivalRate()
        self._hysteresis = Hysteresis(self._settings.hold_s)
        self._level = 0

    @property
    def name(self) -> str:
        """`thresholds:` and both rates."""
        return f"thresholds:{self._settings.low:g},{self._settings.high:g}"

    def choose(self, request: Request, candidates: Sequence[Candidate], *, now: float) -> Choice:
        """The candidate of the level's model."""
        rate = self._rate.seen(request, now=now).fast_rate
        positions = choosable(candidates)
        if not positions:
            return NO_CANDIDATES
        wanted = (rate > self._settings.low) + (rate > self._settings.high)
        self._level = int(self._hysteresis.step(wanted, now=now))
        models = _by_quality([candidates[position] for position in positions])
        model = models[(0, len(models) // 2, len(models) - 1)[self._level]]
        return _least_loaded(model, candidates, positions, f"{rate:.1f} requests/s")

    def log_data(self) -> Mapping[str, object]:
        """The level in use, 0 for the best model."""
        return {"level": self._level}


def thresholds(argument: str) -> ThresholdSwitching:
    """The policy from `low,high`, both in requests a second. Raises ValueError if it is anything else."""
    low, comma, high = argument.partition(",")
    try:
        settings = ThresholdSettings(float(low), float(high))
    except ValueError:
        raise ValueError(f"thresholds:{argument} must have two rates, as in thresholds:10,40") from None
    if not comma or not 0 <= settings.low <= settings.high < math.inf:
        raise ValueError(f"thresholds:{argument} must have two ascending rates, as in thresholds:10,40")
    return ThresholdSwitching(settings)


def switching_table(scores: Mapping[float, Mapping[str, float]]) -> Table:
    """The table for `ModelSwitching` from what each static model scored at each arrival rate of a grid.

    `scores` has, for each rate in requests a second, the score of every model alone. At each rate the best wins (a tie
    goes to the model of the rate before, then to the first named), and a change of model stands halfway between two
    rates. Raises ValueError without scores.
    """
    if not scores or not all(scores.values()):
        raise ValueError("a table needs scores for at least one rate, and of at least one model at each")
    winners: list[tuple[float, str]] = []
    for rate in sorted(scores):
        best = max(scores[rate].values())
        tied = [model for model, score in scores[rate].items() if score == best]
        winner = winners[-1][1] if winners and winners[-1][1] in tied else tied[0]
        winners.append((rate, winner))
    table: list[tuple[float, str]] = []
    for (rate, model), (next_rate, next_model) in zip(winners, [*winners[1:], (math.inf, "")], strict=True):
        if model != next_model:
            table.append(((rate + next_rate) / 2, model))
    return tuple(table)


def _table_of_peaks(candidates: Sequence[Candidate], utilisation: float) -> Table:
    """Models from the best down, each up to its share of the peak rate; only those that add rate."""
    table: list[tuple[float, str]] = []
    for model in _by_quality(candidates):
        limit = utilisation * sum(peak_rate(candidate) for candidate in candidates if candidate.name == model)
        if not table or limit > table[-1][0]:
            table.append((limit, model))
    return (*table[:-1], (math.inf, table[-1][1]))


def _by_quality(candidates: Sequence[Candidate]) -> list[str]:
    """Names of the models, the best first."""
    best = sorted(candidates, key=lambda candidate: -candidate.quality)
    return list(dict.fromkeys(candidate.name for candidate in best))


def _least_loaded(model: str, candidates: Sequence[Candidate], positions: Sequence[int], reason: str) -> Choice:
    named = [position for position in positions if candidates[position].name == model]
    return Choice(min(named, key=lambda position: candidates[position].load), reason)
