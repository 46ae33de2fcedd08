"""What each policy may be tuned by, and the search over it.

Pure: the caller's `score` runs a policy on validation workloads, so that nothing here knows how policies are evaluated.
Every policy is given the same care: all combinations of its knobs' values, `LARGEST_GRID` at most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from types import MappingProxyType
from typing import Any

from policies.selection.base import Policy
from policies.selection.finish_time import (
    EarliestFinish,
    FinishTimeSettings,
    HeadroomSettings,
    LatestFinish,
    LeastPositiveHeadroom,
)
from policies.selection.greedy import Greedy, GreedySettings
from policies.selection.infaas import Infaas, InfaasSettings
from policies.selection.late_model import LateSettings
from policies.selection.late_policy import Late
from policies.selection.model_switching import (
    ModelSwitching,
    SwitchingSettings,
    ThresholdSettings,
    ThresholdSwitching,
)
from policies.selection.proteus import ProteusLite, ProteusSettings
from policies.selection.slackfit import SlackFit, SlackFitSettings

LARGEST_GRID = 36
"""Combinations of one policy's knobs at most, so that none wins by having been searched longer."""

PolicyFactory = Callable[[], Policy]
"""Makes a new policy, with no memory, at each call."""
Score = Callable[[PolicyFactory], float]
"""What a policy is worth on the validation workloads; more is better."""

MARGINS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Standard deviations added to a predicted finish. A margin also keeps room free for what comes later: greedy scored
0.8385, 0.8422, 0.8428, 0.8461, 0.8468 and 0.8460 with these on the shipped stable workload, seed 900.
"""
FINALISTS = 4
"""Combinations of the first stage that are scored in the second: more than one seed's luck moves the best by."""


@dataclass(frozen=True, slots=True)
class Tunable:
    """A policy with knobs."""

    policy: Callable[[Any], Policy]
    """Makes the policy from its settings."""
    settings: Any
    """The policy's settings record, with what is not varied."""
    knobs: Mapping[str, tuple[object, ...]]
    """Fields of the record and the values to try, in their unit."""

    def grid(self) -> Iterator[dict[str, object]]:
        """Every combination of the knobs' values, the first of each first."""
        for values in product(*self.knobs.values()):
            yield dict(zip(self.knobs, values, strict=True))

    def factory(self, knobs: Mapping[str, object]) -> PolicyFactory:
        """What makes the policy with these knobs."""
        return partial(self.policy, replace(self.settings, **knobs))


@dataclass(frozen=True, slots=True)
class Tuned:
    """One combination of knobs and what it scored."""

    knobs: Mapping[str, object]
    make: PolicyFactory
    score: float


TUNABLE: Mapping[str, Tunable] = MappingProxyType(
    {
        "greedy": Tunable(Greedy, GreedySettings(), {"margin_sigmas": MARGINS}),
        "greedy_earliest": Tunable(Greedy, GreedySettings(none_in_time="earliest"), {"margin_sigmas": MARGINS}),
        "slackfit": Tunable(
            SlackFit, SlackFitSettings(), {"buckets": (10, 3, 5, 20, 40), "none_fits": ("shed", "earliest")}
        ),
        "latest_finish": Tunable(LatestFinish, FinishTimeSettings(), {"margin_sigmas": MARGINS}),
        "earliest_finish": Tunable(EarliestFinish, FinishTimeSettings(), {"margin_sigmas": MARGINS}),
        "model_switching": Tunable(
            ModelSwitching,
            SwitchingSettings(),
            {"utilisation": (0.7, 0.3, 0.4, 0.5, 0.6, 0.8, 0.9), "hold_s": (3.0, 1.0, 10.0)},
        ),
        "thresholds": Tunable(
            ThresholdSwitching,
            ThresholdSettings(),
            {"low": (10.0, 2.5, 5.0, 20.0), "high": (40.0, 20.0, 80.0), "hold_s": (3.0, 1.0, 10.0)},
        ),
        "infaas": Tunable(
            Infaas,
            InfaasSettings(),
            {"required_quality": (0.8, 0.0, 0.5, 0.9, 1.0), "window_s": (1.0, 0.1, 0.2, 0.5, 2.0, 4.0, 8.0)},
        ),
        "least_positive_headroom": Tunable(
            LeastPositiveHeadroom,
            HeadroomSettings(),
            {"margin_sigmas": MARGINS, "exploration": (0.01, 0.0)},
        ),
        "proteus_lite": Tunable(
            ProteusLite,
            ProteusSettings(),
            {"period_s": (10.0, 2.0, 30.0), "utilisation": (0.8, 0.5, 0.65, 0.95), "deadline_share": (0.5, 0.25, 0.75)},
        ),
        "late": Tunable(
            Late,
            LateSettings(),
            {
                "margin_sigmas": (3.0, 1.0, 2.0, 4.0),
                "lead_sigmas": (2.5, 1.5, 4.0),
                "way_back_deviations": (3.0, 1.5),
            },
        ),
    }
)
"""By name. Static, random, round robin, least loaded and power of two have no knobs.

The first value of each knob is the default of its settings.
"""


def search(tunable: Tunable, score: Score) -> list[Tuned]:
    """Every combination scored, the best first; of equal ones the earlier in the grid, which is nearer the defaults."""
    tried = []
    for knobs in tunable.grid():
        make = tunable.factory(knobs)
        tried.append(Tuned(knobs, make, score(make)))
    return sorted(tried, key=lambda tuned: -tuned.score)


def search_in_stages(tunable: Tunable, first: Score, final: Score) -> list[Tuned]:
    """`search` by `first`, which may be a part of the seeds, and then the best `FINALISTS` of it scored by `final`."""
    scored = [Tuned(tuned.knobs, tuned.make, final(tuned.make)) for tuned in search(tunable, first)[:FINALISTS]]
    return sorted(scored, key=lambda tuned: -tuned.score)


def with_settings(name: str, **values: object) -> Tunable:
    """The policy of that name with other values for what is not varied, such as `table` of model_switching.

    A knob that is set this way is varied no more. `utilisation` isn't either once a table is given.
    """
    tunable = TUNABLE[name]
    fixed = {*values, "utilisation"} if values.get("table") else set(values)
    knobs = {knob: tried for knob, tried in tunable.knobs.items() if knob not in fixed}
    return replace(tunable, settings=replace(tunable.settings, **values), knobs=knobs)
