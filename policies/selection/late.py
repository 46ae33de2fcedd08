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
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import accumulate
from typing import NamedTuple

from policies.profile import Profile
from policies.selection.forecast import EARLIEST, SLOW_DOWN_WEIGHT, BatchForecast

LOOKS = 128
"""Requests of the earliest deadlines that a plan looks at; the others wait. The shipped workload `five`, seed 900,
40 s, scored 0.6719, 0.6757, 0.6766 and 0.6763 with 64, 128, 256 and all, at 11 600, 7 700, 5 200 and 4 200 requests a
second; `stable` and `unpredictable` scored the same with 128 as with all.
"""


@dataclass(frozen=True, slots=True)
class LateSettings:
    """What `LatePlanner` may be tuned by."""

    lead_sigmas: float = 2.5
    """How long before the predicted end of a batch the next one is sent, in standard deviations of its latency."""
    least_lead_s: float = 0.005
    """At least so long before it, for the way to the model and where the profile has no deviation."""
    margin_sigmas: float = 1.0
    """Standard deviations of a batch's latency that are added to the 95th percentile of it."""


class Waiting(NamedTuple):
    """A request that waits in the daemon."""

    last_at: float
    """When an answer must leave the daemon to be in time."""
    order: int
    """Of its coming: who came first stands before another of the same deadline."""
    weight: float
    key: Hashable


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
        self._models = [_Model(position, profile, settings) for position, (_, profile) in enumerate(models)]
        self._best_first = sorted(self._models, key=lambda model: -models[model.position][0])
        self._least_s = min((profile.p95(1) for _, profile in models), default=0.0)
        self._waiting: list[Waiting] = []
        self._barred: dict[Hashable, Collection[int]] = {}
        self._came = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __repr__(self) -> str:
        return f"<LatePlanner {len(self._waiting)} waiting, {self._models}>"

    def hold(self, key: Hashable, *, last_at: float, weight: float, barred: Collection[int] = ()) -> None:
        """A request comes; it is not to go to the models at the positions in `barred`."""
        self._came += 1
        insort(self._waiting, Waiting(last_at, self._came, weight, key))
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
            kept, next_left = self._kept(model, left, now)
            while kept and model.opens_at(now=now) <= now:
                batch = model.batch(kept, now=now)
                if not batch:
                    break
                for request in batch:
                    model.sent(request.key, prompt_tokens=0, now=now)
                    sends.append((request.key, model.position))
                gone = {request.order for request in batch}
                self._waiting = [request for request in self._waiting if request.order not in gone]
                left = [request for request in left if request.order not in gone]
                kept, next_left = self._kept(model, left, now)
            left = next_left
            opens_at = model.opens_at(now=now)
            if opens_at > now:
                later.append(opens_at)
        for key, _ in sends if self._barred else ():
            self._barred.pop(key, None)
        if self._waiting:
            later.append(self._waiting[0].last_at - self._least_s)
        again_at = min((at for at in later if at > now), default=math.inf)
        return Plan(sends, refused, again_at if self._waiting else math.inf)

    def _too_late(self, models: Sequence[_Model], now: float) -> Sequence[Hashable]:
        """Those that no model answers in time, out of the queue."""
        earliest_at = min((model.earliest_at(now=now) for model in models), default=now)
        place = bisect_left(self._waiting, (earliest_at,))
        if not place:
            return ()
        refused = [request.key for request in self._waiting[:place]]
        del self._waiting[:place]
        for key in refused if self._barred else ():
            self._barred.pop(key, None)
        return refused

    def _kept(self, model: _Model, left: Sequence[Waiting], now: float) -> tuple[Sequence[Waiting], Sequence[Waiting]]:
        if not self._barred:
            return model.keep(left, now=now)
        barred = {request.order for request in left if model.position in self._barred.get(request.key, ())}
        kept, out = model.keep([request for request in left if request.order not in barred], now=now)
        return kept, sorted([*out, *(request for request in left if request.order in barred)])


class _Model(BatchForecast):
    """What is believed of a model, and what it could do with requests that wait for it."""

    def __init__(self, position: int, profile: Profile, settings: LateSettings) -> None:
        super().__init__(profile)
        self.position = position
        self._lead = settings.lead_sigmas * profile.deviation
        self._least_lead_s = settings.least_lead_s
        margin = 1 + settings.margin_sigmas * profile.deviation / profile.p95_over_p50
        self._takes_s = [seconds * margin for seconds in self._p95]
        self._full_s: list[float] = []

    def opens_at(self, *, now: float) -> float:
        """When its next batch may be sent: in the past for an idle instance; infinite while a batch waits there."""
        if self._waiting:
            return math.inf
        if len(self._batches) < self._instances:
            return -math.inf
        slow, p50, lead, least_s = self._slow_down, self._p50, self._lead, self._least_lead_s
        return min(
            batch.started_at + seconds - max(least_s, seconds * lead)
            for batch in self._batches
            for seconds in (p50[batch.size] * slow,)
        )

    def earliest_at(self, *, now: float) -> float:
        """When it could have answered a request that is sent as soon as it may be."""
        return self._starts(now)[0] + self._p50[1] * self._slow_down

    def keep(self, left: Sequence[Waiting], *, now: float) -> tuple[Sequence[Waiting], Sequence[Waiting]]:
        """Those that it can finish in time, and the others; both by deadline."""
        starts, slow = self._starts(now), self._slow_down
        base_at = starts[0]
        first = bisect_left(left, (base_at + self._takes_s[1] * slow,))
        ends_s = self._ends_s(len(left) - first, starts)
        ordered = left[first:] if first else left
        heap: list[tuple[float, float, int]] = []
        out: set[int] = set()
        kept = 0
        for last_at, order, weight, _ in ordered:
            if out:
                heappush(heap, (weight, last_at, order))
            if (last_at - base_at) >= ends_s[kept] * slow:
                kept += 1
                continue
            if not out:
                heap = [(one.weight, one.last_at, one.order) for one in ordered[: kept + 1]]
                heapify(heap)
            out.add(heappop(heap)[2])
        if not out:
            return ordered, left[:first]
        others = [request for request in ordered if request.order in out]
        return [request for request in ordered if request.order not in out], [*left[:first], *others]

    def batch(self, kept: Sequence[Waiting], *, now: float) -> Sequence[Waiting]:
        """Of those kept, the ones to send now."""
        takes_s, largest, slow = self._takes_s, self._max_batch, self._slow_down
        if len(self._batches) < self._instances and not self._delay_s:
            largest = 1  # it would run the first alone
        start_at = self._starts(now)[0]
        worth = [0.0, *accumulate(request.weight for request in kept)]
        best, chosen, first = 0.0, (0, 0), 0
        for size in range(1, min(largest, len(kept)) + 1):
            ends_at = start_at + takes_s[size] * slow
            while first < len(kept) and kept[first].last_at < ends_at:
                first += 1
            if first + size > len(kept):
                break
            value = worth[first + size] - worth[first]
            if value > best:
                best, chosen = value, (first, first + size)
        return kept[slice(*chosen)]

    def _observe(self, ratio: float) -> None:
        """Also of a model that takes less than its profile says: it must not find its queue empty."""
        if ratio >= EARLIEST:
            self._slow_down += (ratio - self._slow_down) * SLOW_DOWN_WEIGHT

    def _starts(self, now: float) -> list[float]:
        """When instances are free for batches that are not sent yet, ascending."""
        slow, p50 = self._slow_down, self._p50
        starts = [max(now, batch.started_at + p50[batch.size] * slow) for batch in self._batches]
        starts += [now + self._delay_s] * (self._instances - len(starts))
        starts.sort()
        if self._waiting:
            starts[0] += p50[min(self._max_batch, len(self._waiting))] * slow
            starts.sort()
        return starts

    def _ends_s(self, count: int, starts: Sequence[float]) -> Sequence[float]:
        """When it has answered 1, 2, … requests in full batches: seconds from the first start at its usual pace."""
        takes_s, full_s = self._takes_s, self._full_s
        while len(full_s) < count:
            before_s = len(full_s) // self._max_batch * takes_s[-1]
            full_s.extend(before_s + seconds for seconds in takes_s[1:])
        if len(starts) == 1:
            return full_s
        ends_s = [
            (start_at - starts[0]) / self._slow_down + seconds for start_at in starts for seconds in full_s[:count]
        ]
        return sorted(ends_s)[:count]
