"""Deciding late: requests wait in the daemon, and go to a model as a batch shortly before it can run one.

A model with dynamic batching takes, when an instance is free, what its queue holds at that moment. So a batch is put in
its queue a little before the running one is predicted to end (the *lead*), and is complete by then: what comes to an
idle model one by one is run one by one. Until that moment every request that waits may still go to any model, before or
behind any other.

What to send follows from a plan, made anew each time and carried out only for models that can take a batch now. The
models are filled from the best quality down. A model keeps, of the requests that the better ones left, those that it
can finish in time in full batches one after the other, by deadline; when that is too much it leaves to the next model
those of the lowest weight, the most urgent first (Moore and Hodgson's rule for jobs that take equally long). Of what a
model keeps, the batch is the one of the greatest weight among: for each size b, the b most urgent that a batch of b
finishes in time. What is too late for every model is refused.

Knobs: `LateSettings`. Cost of a plan: O(n log n) of the requests it looks at, for each model down to the last that can
take a batch. Starvation: a request without a deadline waits while others fill every model.

What it needs to know is in the profiles and in what was sent and came back; the model's own queue delay, if it has one,
is counted. It is for models with a profile of whole answers: token streams join a running batch whenever they come, so
that nothing is won by holding them back.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Collection, Hashable, Sequence
from typing import NamedTuple

from policies.profile import Profile
from policies.selection.late_model import LateModel, LateSettings, Waiting

LOOKS = 128
"""Requests of the earliest deadlines that a plan looks at; the others wait. The shipped workload `five`, seed 900,
40 s, scored 0.6719, 0.6757, 0.6766 and 0.6763 with 64, 128, 256 and all, at 11 600, 7 700, 5 200 and 4 200 requests a
second; `stable` and `unpredictable` scored the same with 128 as with all.
"""


class Plan(NamedTuple):
    """What is to be done now."""

    sends: Sequence[tuple[Hashable, int]]
    """Requests and the positions of their models, to be sent in this order, without a pause."""
    refused: Sequence[Hashable]
    """No model would answer them in time."""
    again_at: float
    """When to plan again if nothing comes or ends before; infinite if there is no need."""


class LatePlanner:
    """The requests that wait for the models of one route, and the plan for them.

    `models` are (quality, profile); their positions name them. Raises ValueError for a profile of token streams.
    """

    def __init__(self, models: Sequence[tuple[float, Profile]], settings: LateSettings | None = None) -> None:
        settings = settings or LateSettings()
        for position, (_, profile) in enumerate(models):
            if profile.tokens is not None:
                raise ValueError(f"model {position} streams tokens, which are decided when they come")
        self._models = [LateModel(position, profile, settings) for position, (_, profile) in enumerate(models)]
        self._in_hand = settings.way_back_deviations
        self._best_first = sorted(self._models, key=lambda model: -models[model.position][0])
        self._least_s = min((profile.p95(1) for _, profile in models), default=0.0)
        self._waiting: list[Waiting] = []
        self._barred: dict[Hashable, Collection[int]] = {}
        self._came = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __repr__(self) -> str:
        return f"<LatePlanner {len(self._waiting)} waiting, {self._models}>"

    def hold(
        self,
        key: Hashable,
        *,
        due_at: float,
        way_back_deviation_s: float = 0.0,
        weight: float,
        barred: Collection[int] = (),
    ) -> None:
        """A request comes; it is not to go to the models at the positions in `barred`.

        To be in time its answer must leave the daemon by `due_at`, if the way back takes as long as expected;
        `way_back_deviation_s` says by how much that is wrong on average.
        """
        self._came += 1
        last_at = due_at - self._in_hand * way_back_deviation_s
        insort(self._waiting, Waiting(last_at, self._came, weight, key, due_at))
        if barred:
            self._barred[key] = barred

    def discard(self, key: Hashable) -> None:
        """A request is given up."""
        self._waiting = [request for request in self._waiting if request.key != key]
        self._barred.pop(key, None)

    def sent(self, model: int, key: Hashable, *, now: float) -> None:
        """A request went to a model past the plan, such as one of a sequence; `ended` follows."""
        self._models[model].sent(key, prompt_tokens=0, now=now)

    def ended(self, model: int, key: Hashable, *, answered: bool, now: float) -> None:
        """A request that was sent, by a plan or past it, has its answer, or failed or was given up."""
        self._models[model].ended(key, answered=answered, messages=1, now=now)

    def plan(self, ready: Sequence[bool], *, now: float) -> Plan:
        """What to send now. What is in the plan waits no more; `ready` says for each model whether it can be used."""
        sends: list[tuple[Hashable, int]] = []
        if not self._waiting:
            return Plan(sends, (), math.inf)
        models = [model for model in self._best_first if ready[model.position]]
        opening = [model.opens_at(now=now) for model in models]
        later = [at for at in opening if at > now]
        last = len(models) - 1
        while last >= 0 and opening[last] > now:
            last -= 1
        if last < 0 and models:
            return Plan(sends, (), min(later))
        refused = self._too_late(models, now)
        left: Sequence[Waiting] = self._waiting[:LOOKS]
        for model in models[: last + 1]:
            fallback = model is models[-1]
            kept, next_left = self._kept(model, left, now, fallback=fallback)
            while kept and model.opens_at(now=now) <= now:
                batch = model.batch(kept, now=now)
                if not batch:
                    break
                for request in batch:
                    model.sent(request.key, prompt_tokens=0, now=now)
                    sends.append((request.key, model.position))
                gone = {request.order for request in batch}
                self._waiting[:LOOKS] = [request for request in self._waiting[:LOOKS] if request.order not in gone]
                left = [request for request in left if request.order not in gone]
                kept, next_left = self._kept(model, left, now, fallback=fallback)
            left = next_left
            opens_at = model.opens_at(now=now)
            if opens_at > now:
                later.append(opens_at)
        for key, _ in sends if self._barred else ():
            self._barred.pop(key, None)
        if self._waiting:
            due_at = self._waiting[0].due_at
            later += (due_at - self._least_s, due_at)
        again_at = min((at for at in later if at > now), default=math.inf)
        return Plan(sends, refused, again_at if self._waiting else math.inf)

    def _too_late(self, models: Sequence[LateModel], now: float) -> Sequence[Hashable]:
        """Those that no model answers in time, out of the queue."""
        earliest_at = min((model.earliest_at(now=now) for model in models), default=now)
        place = bisect_left(self._waiting, (earliest_at,))
        refused = [request.key for request in self._waiting[:place] if request.due_at < earliest_at]
        if not refused:
            return ()
        self._waiting[:place] = [request for request in self._waiting[:place] if request.due_at >= earliest_at]
        for key in refused if self._barred else ():
            self._barred.pop(key, None)
        return refused

    def _kept(
        self, model: LateModel, left: Sequence[Waiting], now: float, *, fallback: bool
    ) -> tuple[Sequence[Waiting], Sequence[Waiting]]:
        if not self._barred:
            return model.keep(left, fallback=fallback, now=now)
        barred = {request.order for request in left if model.position in self._barred.get(request.key, ())}
        kept, out = model.keep([request for request in left if request.order not in barred], fallback=fallback, now=now)
        return kept, sorted([*out, *(request for request in left if request.order in barred)])
