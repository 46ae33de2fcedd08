"""Which parameters to keep: the score on workloads and seeds that are never trained on.

Half of it is the shipped stable and unpredictable workloads on `SEEDS`, the same seeds that baselines are tuned on; the
other half workloads drawn from the domain with generators of their own, and all of it for token streams, which those
two are not. The other shipped workloads, and the seeds that results are reported on, play no part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from policies.dqn.domain import Domain, DomainSettings
from policies.selection.base import Policy
from policies.simulation.run import run
from policies.simulation.workload import SimulatedCandidate, Workload
from policies.simulation.workload_file import read_workload

SEEDS = (900, 901)
KNOWN = ("stable", "unpredictable")
STREAM_OF_DRAWN = 424242
"""Seeds the generators of the drawn workloads; training's generators come from its own seed."""

Run = tuple[Workload, int]
"""A workload and its seed."""


@dataclass(frozen=True, slots=True)
class ValidationSettings:
    """How much is played. The noise of a score falls with the root of it."""

    known: tuple[str, ...] = KNOWN
    """Shipped workloads; none for token streams."""
    known_seconds: float = 150.0
    """Of each known workload: one round and a quarter of stable's rates."""
    drawn: int = 24
    """How many workloads are drawn."""
    drawn_seconds: float = 30.0
    """Of each of them."""
    later_weights: tuple[float, ...] = (0.5, 0.75, 1.0)
    """Weights of what comes after that are tried: the largest of noisy estimates is too large, so that what a decision
    costs later requests is overestimated. Which policy the training follows does not depend on it."""


@dataclass(frozen=True, slots=True)
class Validation:
    """Scores, 0 to 1; None where nothing is played."""

    known: float | None
    drawn: float | None

    @property
    def score(self) -> float:
        """What parameters are kept by."""
        scores = [score for score in (self.known, self.drawn) if score is not None]
        return sum(scores) / len(scores)


def validation_runs(
    settings: ValidationSettings,
    of: DomainSettings,
    *,
    workloads: Sequence[Workload] = (),
    candidates: Sequence[SimulatedCandidate] = (),
) -> tuple[list[Run], list[Run]]:
    """Known and drawn ones. With `workloads`, those are the known ones; with `candidates`, the drawn ones have them."""
    domain = Domain(replace(of, seconds=settings.drawn_seconds), candidates)
    known = [
        replace(workload, seconds=min(workload.seconds, settings.known_seconds))
        for workload in workloads or [read_workload(name) for name in settings.known]
    ]
    drawn = [
        (domain(np.random.Generator(np.random.PCG64([STREAM_OF_DRAWN, place]))), STREAM_OF_DRAWN + place)
        for place in range(settings.drawn)
    ]
    return [(workload, seed) for workload in known for seed in SEEDS], drawn


def validate(make_policy: Callable[[], Policy], known: Sequence[Run], drawn: Sequence[Run]) -> Validation:
    """Mean scores of a new policy for each run. Raises ValueError where there is none."""
    if not known and not drawn:
        raise ValueError("nothing to validate on")
    means = [
        float(np.mean([run(workload, make_policy(), seed).score for workload, seed in runs])) if runs else None
        for runs in (known, drawn)
    ]
    return Validation(*means)
