"""One run in virtual time: requests reach the daemon, are decided, go to models, come back.

The caller is the policy: it takes each decision from `advance`, looks at it with `view`, and answers with `decide`.
What it sees is what a daemon knows: its own accounts (`policies.selection.account`), the meter of arrivals, and the
request. The models' queues and the spread of latencies stay hidden.

As in the daemon, a request that its candidate fails is decided again among those that have not failed it, once each,
while it has slack; a candidate found away is not ready for a second, and a probe a second tells when one is away or
back. A class with `on_miss: fail` is given up at its deadline, and leaves the model's queue.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Sequence
from typing import cast

import numpy as np

from policies.reward import is_on_time, reward
from policies.selection.account import CandidateAccount
from policies.selection.arrivals import ArrivalMeter
from policies.selection.base import Candidate, Choice, Request
from policies.selection.late import LatePlanner
from policies.selection.late_model import LateSettings
from policies.simulation.batching import BatchingModel
from policies.simulation.continuous import ContinuousModel
from policies.simulation.model import Later, Model, Spread
from policies.simulation.results import FAILED, OPEN, SHED, Outcome
from policies.simulation.trace import BITS, SMOOTHING, Trace, draw
from policies.simulation.workload import SimulatedCandidate, Workload

PROBE_S = 1.0
"""Between probes, as in the daemon."""

DEVIATION_WEIGHT = 1 / 4
"""Of a new sample in the mean deviation of the way, as in the RTT variation of RFC 9002, section 5.3."""

_MODEL, _EXPIRE, _DOWN, _UP, _SLOW, _PROBE, _PLAN = range(7)
SEED_OF_MODELS = 1
"""Told apart from the trace's generators, so that a policy's choices don't change what arrives."""


class Simulation:
    """One workload and seed, from beginning to end. `trace` may be given instead of drawn.

    With `planned` requests are decided late by the planner of `policies.selection.late`, and `advance` has nothing to
    ask. Raises ValueError for that on a workload of token streams.
    """

    def __init__(
        self,
        workload: Workload,
        seed: int,
        *,
        planned: LateSettings | None = None,
        trace: Trace | None = None,
    ) -> None:
        self.workload = workload
        self.trace = draw(workload, seed) if trace is None else trace
        self.now = 0.0
        self.outcome = Outcome(len(self.trace))
        self.ended: list[int] = []
        """Requests whose outcome has become known; whoever reads them clears the list."""
        self.decisions = 0
        self._events: list[tuple[float, int, int, int, object]] = []
        self._sequence = 0
        self._arrived = 0
        self._undecided: deque[int] = deque()
        self._deciding = -1
        self._offered: Sequence[int] = ()
        self._tried: dict[int, set[int]] = {}
        self._first_at: dict[int, float] = {}
        self._at: dict[int, int] = {}
        self._meter = ArrivalMeter()
        self._kinds = [described.traffic for described in workload.classes]
        self._fails = any(kind.on_miss == "fail" for kind in self._kinds)
        self._qualities = [candidate.quality for candidate in workload.candidates]
        self._all = range(len(workload.candidates))
        self._down = [False] * len(workload.candidates)
        self._slow = [1.0] * len(workload.candidates)
        self._accounts = [
            CandidateAccount(
                described.model, instance="simulated", quality=described.quality, profile=described.profile
            )
            for described in workload.candidates
        ]
        self._models = [self._model(index, described, seed) for index, described in enumerate(workload.candidates)]
        self._planner: LatePlanner | None = None
        if planned is not None:
            models = [(described.quality, described.profile) for described in workload.candidates]
            self._planner = LatePlanner(models, planned)
        self._plan_at = math.inf
        self._stirred = False
        rate = workload.network.rate
        self._bit_s = 0.0 if rate is None else BITS / rate
        self._way_s = self._way_deviation_s = 0.0
        self._schedule_events()

    def __repr__(self) -> str:
        return f"<Simulation {self.workload.name} at {self.now:.3f} s, {self._arrived} of {len(self.trace)} arrived>"

    def advance(self) -> int | None:
        """Go on to the next decision; its request's place in the trace, or None when everything has ended."""
        events, arrivals = self._events, self.trace.arrived_at
        count = len(arrivals)
        while True:
            key = self._next_undecided()
            if key is not None:
                self._deciding = key
                return key
            arrives_at = arrivals[self._arrived] if self._arrived < count else math.inf
            if events and events[0][0] <= arrives_at:
                at, _, kind, index, what = heapq.heappop(events)
                self.now = at
                if kind == _MODEL:
                    self._models[index].due(what, now=at)
                else:
                    self._happens(kind, index, what)
            elif self._arrived < count:
                self.now = arrives_at
                self._arrive(self._arrived)
                self._arrived += 1
            else:
                return None

    def view(self) -> tuple[Request, list[Candidate]]:
        """What the policy is given for the decision that `advance` returned."""
        key, now, trace = self._deciding, self.now, self.trace
        kind = self._kinds[trace.kind[key]]
        streaming = self.workload.streaming
        tried = self._tried.get(key) if self._tried else None
        request = Request(
            "simulated",
            kind.name,
            kind.weight,
            trace.deadline_at[key],
            trace.known_way_back_s[key],
            trace.size_bytes[key],
            size_tokens=trace.prompt_tokens[key] if streaming else None,
            streaming=streaming,
            token_deadline_s=kind.token_deadline_s,
            attempt=len(tried) if tried else 0,
            arrivals=self._meter.arrivals(now=now),
        )
        self._offered = self._all if not tried else [index for index in self._all if index not in tried]
        prompt = trace.prompt_tokens[key]
        return request, [self._accounts[index].candidate(prompt_tokens=prompt, now=now) for index in self._offered]

    def decide(self, choice: Choice) -> None:
        """Do what the policy says with the request that `view` showed."""
        key = self._deciding
        self._deciding = -1
        self.decisions += 1
        if choice.candidate is None:
            self._end(key, SHED)
            return
        index = self._offered[choice.candidate]
        self._send(key, index)

    def began(self, model: int, key: int, now: float) -> None:
        """A model's first token."""
        if self._at.get(key) == model:
            self._first_at[key] = now
            self._accounts[model].began(key, now=now)

    def answered(self, model: int, keys: Sequence[int], longest_gap_s: float, now: float) -> None:
        """A model's answers."""
        trace, outcome = self.trace, self.outcome
        account, quality = self._accounts[model], self._qualities[model]
        for key in keys:
            if self._at.get(key) != model:
                continue
            del self._at[key]
            if self._planner is not None:
                self._planner.ended(model, key, answered=True, now=now)
            account.answered(key, messages=trace.answer_tokens[key], now=now)
            kind = self._kinds[trace.kind[key]]
            back_s = trace.way_back_s[key]
            first_at = self._first_at.pop(key, now) if self._first_at else now
            on_time = is_on_time(
                delivered_at=first_at + back_s,
                deadline_at=trace.deadline_at[key],
                longest_gap_s=longest_gap_s,
                token_deadline_s=kind.token_deadline_s,
            )
            outcome.on_time[key] = on_time
            outcome.reward[key] = reward(kind.weight, quality, on_time=on_time)
            outcome.finished_at[key] = now + back_s
            self._end(key, model)
        self._stirred = True

    def failed(self, model: int, keys: Sequence[int], now: float) -> None:
        """A model's failures."""
        for key in keys:
            if self._at.get(key) == model:
                self._accounts[model].failed(key, now=now)
                self._fail(key, model)
        self._accounts[model].away(now=now)
        self._stirred = True

    def _model(self, index: int, described: SimulatedCandidate, seed: int) -> Model:
        generator = np.random.Generator(np.random.PCG64([seed, SEED_OF_MODELS, index]))
        spread = Spread(described.profile.deviation, generator)
        later = self._later(index)
        if described.profile.tokens is None:
            return BatchingModel(index, described.profile, spread=spread, outcomes=self, later=later)
        return ContinuousModel(
            index,
            described.profile.tokens,
            prompts=self.trace.prompt_tokens,
            answers=self.trace.answer_tokens,
            spread=spread,
            outcomes=self,
            later=later,
        )

    def _later(self, index: int) -> Later:
        def later(at: float, what: object) -> None:
            self._push(at, _MODEL, index, what)

        return later

    def _push(self, at: float, kind: int, index: int, what: object) -> None:
        self._sequence += 1
        heapq.heappush(self._events, (at, self._sequence, kind, index, what))

    def _schedule_events(self) -> None:
        names = [described.model for described in self.workload.candidates]
        for event in self.workload.events:
            until = event.at + event.duration_s
            if event.kind == "down":
                self._push(event.at, _DOWN, names.index(event.candidate), None)
                self._push(until, _UP, names.index(event.candidate), None)
            elif event.kind == "slow":
                self._push(event.at, _SLOW, names.index(event.candidate), event.factor)
                self._push(until, _SLOW, names.index(event.candidate), 1 / event.factor)

    def _happens(self, kind: int, index: int, what: object) -> None:
        now = self.now
        if kind == _EXPIRE:
            self._expire(index)
        elif kind == _DOWN:
            self._down[index] = True
            self._models[index].fail(now=now)
            self._push(math.floor(now / PROBE_S) * PROBE_S + PROBE_S, _PROBE, index, None)
        elif kind == _UP:
            self._down[index] = False
        elif kind == _PLAN:
            if now < self._plan_at:
                return  # an earlier one came instead
            self._plan_at = math.inf
            self._stirred = True
        elif kind == _PROBE:
            down = self._down[index]
            self._accounts[index].probed(ready=not down, now=now)
            if down:
                self._push(now + PROBE_S, _PROBE, index, None)
            self._stirred = True
        elif isinstance(what, float):
            self._slow[index] *= what
            self._models[index].slow(self._slow[index])

    def _plan(self) -> None:
        """What the planner would have done by now."""
        planner, now = self._planner, self.now
        while planner is not None:
            while self._undecided:
                key = self._undecided.popleft()
                weight = self._kinds[self.trace.kind[key]].weight
                tried = self._tried.get(key, ()) if self._tried else ()
                planner.hold(
                    key,
                    due_at=self._last_at(key),
                    way_back_deviation_s=self._way_deviation_s,
                    weight=weight,
                    barred=tried,
                )
                self.decisions += 1
            if not len(planner):
                return
            plan = planner.plan([account.ready(now=now) for account in self._accounts], now=now)
            for held in plan.refused:
                self._end(cast("int", held), SHED)
            for held, index in plan.sends:
                self._send(cast("int", held), index)
            if plan.again_at < self._plan_at:
                self._plan_at = plan.again_at
                self._push(plan.again_at, _PLAN, -1, None)
            if not self._undecided:
                return

    def _next_undecided(self) -> int | None:
        if self._planner is not None:
            if self._undecided or self._stirred:
                self._stirred = False
                self._plan()
            return None
        return self._undecided.popleft() if self._undecided else None

    def _arrive(self, key: int) -> None:
        kind = self._kinds[self.trace.kind[key]]
        if self._planner is not None:
            self._measure_way(key)
        self._meter.arrived(kind.name, now=self.now)
        if self._fails and kind.on_miss == "fail":
            until = self.trace.deadline_at[key] - self.trace.known_way_back_s[key]
            if until <= self.now:
                self._end(key, FAILED)
                return
            self._push(until, _EXPIRE, key, None)
        self._undecided.append(key)

    def _measure_way(self, key: int) -> None:
        """What the daemon can tell of the way from how long requests took to it, as RFC 9002 does of round trips."""
        trace = self.trace
        way_s = trace.arrived_at[key] - trace.sent_at[key] - trace.size_bytes[key] * self._bit_s
        if self._arrived:
            self._way_deviation_s += (abs(way_s - self._way_s) - self._way_deviation_s) * DEVIATION_WEIGHT
            self._way_s += (way_s - self._way_s) * SMOOTHING
        else:
            self._way_s = way_s

    def _send(self, key: int, index: int) -> None:
        account, now = self._accounts[index], self.now
        if self._down[index]:
            account.away(now=now)
            self._fail(key, index)
            return
        self._at[key] = index
        account.sent(key, prompt_tokens=self.trace.prompt_tokens[key], now=now)
        self._models[index].submit(key, now=now)

    def _fail(self, key: int, index: int) -> None:
        """It failed there: once more elsewhere, if its time allows."""
        self._at.pop(key, None)
        if self._planner is not None:
            self._planner.ended(index, key, answered=False, now=self.now)
        tried = self._tried.setdefault(key, set())
        tried.add(index)
        begun = self._first_at.pop(key, None) is not None
        if begun or len(tried) == len(self._all) or self._last_at(key) <= self.now:
            self._end(key, FAILED)
        else:
            self._undecided.append(key)

    def _expire(self, key: int) -> None:
        """Its deadline has come; what is not answered by now is given up."""
        if self.outcome.candidate[key] != OPEN:
            return
        index = self._at.get(key)
        if index is not None:
            if key in self._first_at:
                return  # its first token was in time
            del self._at[key]
            self._accounts[index].abandoned(key, now=self.now)
            if self._planner is not None:
                self._planner.ended(index, key, answered=False, now=self.now)
            self._models[index].withdraw(key)
        elif key in self._undecided:
            self._undecided.remove(key)
        elif self._planner is not None:
            self._planner.discard(key)
        self._end(key, FAILED)
        self._stirred = True

    def _end(self, key: int, candidate: int) -> None:
        self.outcome.candidate[key] = candidate
        self.ended.append(key)
        if self._tried:
            self._tried.pop(key, None)

    def _last_at(self, key: int) -> float:
        """When an answer must leave the daemon to be in time, as far as it knows."""
        return self.trace.deadline_at[key] - self.trace.known_way_back_s[key]
