"""What the simulator says of one model and given arrivals, nothing else around it."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from policies.profile import Profile
from policies.simulation.batching import BatchingModel
from policies.simulation.continuous import ContinuousModel
from policies.simulation.model import Model, Spread


@dataclass(slots=True)
class Expected:
    """When requests are answered, by their number, in seconds."""

    first_at: dict[int, float] = field(default_factory=dict)
    """The first message of the answer."""
    last_at: dict[int, float] = field(default_factory=dict)
    longest_gap_s: dict[int, float] = field(default_factory=dict)
    """From one message of a stream to the next."""
    batches: list[int] = field(default_factory=list)
    """Sizes, of whole answers."""

    def began(self, model: int, key: int, now: float) -> None:
        """The first token is out."""
        self.first_at[key] = now

    def answered(self, model: int, keys: Sequence[int], longest_gap_s: float, now: float) -> None:
        """The last of the answers is out."""
        self.batches.append(len(keys))
        for key in keys:
            self.first_at.setdefault(key, now)
            self.last_at[key] = now
            self.longest_gap_s[key] = longest_gap_s

    def failed(self, model: int, keys: Sequence[int], now: float) -> None:
        """Nothing fails here."""


def expected(
    profile: Profile, arrivals: Sequence[float], *, prompts: Sequence[int] = (), answers: Sequence[int] = (), seed: int
) -> Expected:
    """Take requests through the simulator's model. `arrivals` ascend; `prompts` and `answers` are for token streams."""
    outcomes = Expected()
    events: list[tuple[float, int, object]] = []
    numbers = count()

    def later(at: float, what: object) -> None:
        heapq.heappush(events, (at, next(numbers), what))

    spread = Spread(profile.deviation, np.random.default_rng(seed))
    model: Model
    if profile.tokens is None:
        model = BatchingModel(0, profile, spread=spread, outcomes=outcomes, later=later)
    else:
        model = ContinuousModel(
            0, profile.tokens, prompts=prompts, answers=answers, spread=spread, outcomes=outcomes, later=later
        )
    for key, at in enumerate(arrivals):
        while events and events[0][0] <= at:
            due, _, what = heapq.heappop(events)
            model.due(what, now=due)
        model.submit(key, now=at)
    while events:
        due, _, what = heapq.heappop(events)
        model.due(what, now=due)
    return outcomes
