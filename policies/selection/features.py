"""What a learned policy sees, as numbers. Training, the simulator's environment and the daemon all encode with this.

Times are squashed: sign(t) · ln(1 + |t| / 0.1 s) / 4, which puts 10 ms at 0.02, 1 s at 0.6, 5 s at 1; those marked
near are t / 0.25 s besides, within ±2, because what decides is often a few hundredths of a second. Counts are
ln(1 + n) / 4, rates ln(1 + r) / 4, loads ln(1 + rate / peak rate). Nothing leaves -3 to 3. Weights and qualities count
only in relation to each other. A candidate's numbers do not say which candidate it is, so that one network serves any
number of them; only profile and state tell them apart. The simulator has no GPU load, so it is no feature: what is
always 0 in training would be noise when it is not.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from policies.profile import Profile
from policies.selection.base import Candidate, Request, choosable
from policies.selection.rate import ArrivalRate

SCHEMA = 2
"""Raised with every change of what a number means or where it stands; a checkpoint carries it."""

TIME_UNIT_S = 0.1
LONGEST_S = 60.0
"""Beyond it times are alike; also what stands for no deadline."""
SQUASH = 4.0
LIMIT = 3.0
NEAR_S = 0.25
NEAR = 2.0
STAKE_UNIT = 2.0
"""Times the mean weight of the arrivals: a stake of 1."""
TIGHTER = 0.9
"""Of the own budget: those of one class differ by the way up."""
BUDGET_WEIGHT = 0.05
"""Of the newest request in what a class's requests have left when they arrive."""

REQUEST_FEATURES = (
    "slack",  # until the answer must leave the daemon
    "slack_near",
    "way_back",
    "token_deadline",
    "stake",  # weight over twice the mean weight of the arrivals
    "size",
    "tokens",
    "streaming",
    "attempt",
    "fast_rate",
    "slow_rate",
    "rate_change",  # ln(fast / slow)
    "own_share",  # of its class in the arrivals
    "heavier_share",  # of classes that weigh more
    "heavier_stake",  # what those weigh, over twice what all weigh
    "tighter_share",  # of classes that have less time
    "mean_budget",  # seconds that requests have left on arrival
)
CANDIDATE_FEATURES = (
    "there",  # 1; the rows of absent candidates are all 0
    "ready",
    "quality",  # over the best on offer
    "running",  # over what it runs at once
    "waiting",  # in batches of the largest size
    "batch",  # the one it would join, over the largest
    "opens",  # 1 if it would be the first of its batch
    "start",  # seconds until that batch starts
    "finish",  # seconds until the predicted answer
    "margin",  # slack less that
    "margin_near",
    "margin_full",  # likewise if the batch starts full; near
    "margin_sigmas",  # margin in standard deviations, over 4
    "in_time",  # 1 if margin is not below 0
    "alone",  # seconds for a batch of one, 95th percentile
    "full",  # seconds for the largest batch
    "added",  # seconds that the request adds to its batch
    "joiners",  # expected arrivals before the batch starts, over its size
    "fast_load",  # fast rate over its peak rate
    "slow_load",
    "heavier_load",  # fast rate of classes that weigh more, over its peak rate
    "latency",
    "error_rate",
    "slow_down",
    "step",  # seconds of a decoding step with one sequence more, over the token deadline
)
_POSTED = ("stake", "own_share", "fast_rate", "streaming", "there", "ready", "quality", "batch", "alone", "fast_load")
"""What the poster's router saw, as far as it tells: which task, the batch at each model, the arrival rate."""

GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "network": ("way_back",),
        "rate": (
            *("fast_rate", "slow_rate", "rate_change", "own_share", "heavier_share", "heavier_stake"),
            *("tighter_share", "mean_budget", "joiners", "fast_load", "slow_load", "heavier_load"),
        ),
        "queue": (
            *("running", "waiting", "batch", "opens", "start", "finish", "margin", "margin_near"),
            *("margin_full", "margin_sigmas", "in_time", "added", "joiners", "latency", "slow_down"),
        ),
        "unposted": tuple(name for name in (*REQUEST_FEATURES, *CANDIDATE_FEATURES) if name not in _POSTED),
    }
)
"""What an ablation leaves out, by name. Without `network`, slack is the time until the deadline at the client."""


class _Profiled:
    """What of a profile is the same for every request."""

    __slots__ = ("alone", "full", "largest", "length_s", "p95", "peak_rate", "profile", "room", "sigma")

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.p95 = (0.0, *(profile.p95(batch) for batch in range(1, profile.max_batch + 1)))
        self.alone, self.full = squash_s(self.p95[1]), squash_s(self.p95[-1])
        self.sigma = tuple(profile.deviation * seconds / profile.p95_over_p50 + 1e-3 for seconds in self.p95)
        tokens = profile.tokens
        if tokens is None:
            self.largest = profile.max_batch
            self.room = profile.max_batch * profile.instances
            self.peak_rate = profile.peak_rate
        else:  # an answer of the length that takes the profile's latency alone
            self.largest = self.room = tokens.max_sequences
            pace = tokens.step(1) / tokens.step(tokens.max_sequences)
            self.peak_rate = profile.instances * tokens.max_sequences * pace / profile.at(1)


class Features:
    """Encodes the requests of one route. What a class weighs and how long it has is learnt from its requests.

    `without` names `GROUPS` to leave out. A policy, or an episode, has its own.
    """

    __slots__ = ("_classes", "_heavier_rate", "_network", "_off_candidate", "_off_request", "_profiles", "_rate")

    def __init__(self, *, without: Collection[str] = ()) -> None:
        self._rate = ArrivalRate()
        self._classes: dict[str, tuple[float, float]] = {}
        self._profiles: dict[int, _Profiled] = {}
        self._heavier_rate = 0.0
        self._network = "network" not in without
        off = {name for group in without for name in GROUPS[group]}
        self._off_request = [place for place, name in enumerate(REQUEST_FEATURES) if name in off]
        self._off_candidate = [place for place, name in enumerate(CANDIDATE_FEATURES) if name in off]

    def encode(
        self, request: Request, candidates: Sequence[Candidate], *, now: float
    ) -> tuple[list[float], list[list[float]]]:
        """Values of `REQUEST_FEATURES`, and for each candidate those of `CANDIDATE_FEATURES`.

        Counts the request: it is to be called once for each decision.
        """
        slack_s = request.slack_s(now=now) if self._network else request.deadline_at - now
        arrivals = self._rate.seen(request, now=now)
        fast, slow = arrivals.fast_rate, arrivals.slow_rate
        of_request = self._request(request, slack_s, fast, slow, arrivals.class_mix, now=now)
        best = max((candidate.quality for candidate in candidates), default=0.0) or 1.0
        rows = [self._candidate(candidate, request, slack_s, fast, slow, best, now) for candidate in candidates]
        for place in self._off_request:
            of_request[place] = 0.0
        for row in rows:
            for place in self._off_candidate:
                row[place] = 0.0
        return of_request, rows

    def _request(
        self,
        request: Request,
        slack_s: float,
        fast: float,
        slow: float,
        mix: Sequence[tuple[str, float]],
        *,
        now: float,
    ) -> list[float]:
        weight, left_s = request.weight, min(max(request.deadline_at - now, 0.0), LONGEST_S)
        known = self._classes.get(request.traffic_class)
        budget_s = left_s if known is None else known[1] + (left_s - known[1]) * BUDGET_WEIGHT
        self._classes[request.traffic_class] = (weight, budget_s)
        own = heavier = heavier_stake = tighter = mean_weight = mean_budget_s = total = 0.0
        for name, share in mix:
            described = self._classes.get(name)
            if described is None:
                continue
            its_weight, its_budget_s = described
            total += share
            mean_weight += share * its_weight
            mean_budget_s += share * its_budget_s
            if name == request.traffic_class:
                own = share
            elif its_weight > weight:
                heavier += share
                heavier_stake += share * its_weight
            if its_budget_s < TIGHTER * budget_s:
                tighter += share
        if total:
            mean_weight, mean_budget_s = mean_weight / total, mean_budget_s / total
        else:
            mean_weight, mean_budget_s = weight, budget_s
        self._heavier_rate = fast * heavier
        mean_weight = mean_weight or 1.0
        return [
            squash_s(slack_s),
            _near(slack_s),
            squash_s(request.way_back_s),
            squash_s(request.token_deadline_s),
            min(weight / mean_weight / STAKE_UNIT, LIMIT),
            _squash(request.size_bytes / 1024),
            _squash((request.size_tokens or 0) / 16),
            float(request.streaming),
            min(request.attempt / SQUASH, LIMIT),
            _squash(fast),
            _squash(slow),
            min(max(math.log((fast + 0.1) / (slow + 0.1)) / SQUASH, -LIMIT), LIMIT),
            own,
            heavier,
            min(heavier_stake / mean_weight / STAKE_UNIT, LIMIT),
            tighter,
            squash_s(mean_budget_s),
        ]

    def _candidate(
        self, candidate: Candidate, request: Request, slack_s: float, fast: float, slow: float, best: float, now: float
    ) -> list[float]:
        profile, finish_at = candidate.profile, candidate.predicted_finish_at
        finish_s = slack_s if finish_at is None else finish_at - now
        margin_s = 0.0 if finish_at is None else slack_s - finish_s
        if profile is None:
            return self._unprofiled(candidate, finish_s, margin_s, best)
        known = self._profiles.get(id(profile))
        if known is None or known.profile is not profile:
            known = self._profiles[id(profile)] = _Profiled(profile)
        batch = candidate.batch or 1
        if profile.tokens is None:
            own = min(batch, known.largest)
            p95 = known.p95
            own_s, growth_s = p95[own] * candidate.slow_down, (p95[-1] - p95[own]) * candidate.slow_down
            added_s = p95[own] - (p95[own - 1] if own > 1 else 0.0)
            sigma_s = known.sigma[own]
            step = 0.0
        else:
            own_s = growth_s = 0.0
            steps = profile.tokens.step(min(candidate.running + 1, known.largest))
            added_s = steps - (profile.tokens.step(min(candidate.running, known.largest)) if candidate.running else 0.0)
            sigma_s = known.sigma[1]
            step = min(steps / request.token_deadline_s, LIMIT)
        start_s = min(max(0.0, finish_s - own_s), LONGEST_S)
        peak_rate = known.peak_rate / candidate.slow_down
        return [
            1.0,
            float(candidate.ready),
            candidate.quality / best,
            min(candidate.running / known.room, LIMIT),
            min(candidate.waiting / known.largest, LIMIT),
            min(batch / known.largest, LIMIT),
            float(batch == 1),
            squash_s(start_s),
            squash_s(finish_s),
            squash_s(margin_s),
            _near(margin_s),
            _near(margin_s - growth_s),
            min(max(margin_s / sigma_s / SQUASH, -LIMIT), LIMIT),
            float(margin_s >= 0),
            known.alone,
            known.full,
            squash_s(added_s),
            min(fast * start_s / known.largest, LIMIT),
            min(math.log1p(fast / peak_rate), LIMIT),
            min(math.log1p(slow / peak_rate), LIMIT),
            min(math.log1p(self._heavier_rate / peak_rate), LIMIT),
            squash_s(candidate.latency_s or 0.0),
            candidate.error_rate,
            min(math.log(max(candidate.slow_down, 1.0)), LIMIT),
            step,
        ]

    def _unprofiled(self, candidate: Candidate, finish_s: float, margin_s: float, best: float) -> list[float]:
        """What nobody knows of it is 0."""
        values = dict.fromkeys(CANDIDATE_FEATURES, 0.0)
        values["there"], values["ready"] = 1.0, float(candidate.ready)
        values["quality"] = candidate.quality / best
        values["finish"], values["margin"], values["margin_near"] = (
            squash_s(finish_s),
            squash_s(margin_s),
            _near(margin_s),
        )
        values["in_time"] = float(margin_s >= 0)
        values["latency"] = squash_s(candidate.latency_s or 0.0)
        values["error_rate"] = candidate.error_rate
        values["slow_down"] = min(math.log(max(candidate.slow_down, 1.0)), LIMIT)
        return list(values.values())


def hopeless(request: Request, candidates: Sequence[Candidate], *, now: float) -> set[int]:
    """Positions that a learned policy may not choose: predicted to be late, while another is predicted to be in time.

    To send a request where it can't be in time is a refusal that its client waits for.
    """
    slack_s = request.slack_s(now=now)
    finishes = {position: candidates[position].predicted_finish_at for position in choosable(candidates)}
    late = {position for position, at in finishes.items() if at is not None and at - now > slack_s}
    known = {position for position, at in finishes.items() if at is not None}
    return late if known - late else set()


def may_shed(request: Request, candidates: Sequence[Candidate], *, now: float) -> bool:
    """Whether a learned policy may refuse: not while one that may be chosen is idle and would be in time.

    To keep that one free for others is worth next to nothing, and nobody understands a refusal beside an idle model.
    """
    slack_s = request.slack_s(now=now)
    for position in choosable(candidates):
        candidate = candidates[position]
        finish_at = candidate.predicted_finish_at
        idle = not candidate.running and not candidate.waiting
        if idle and (finish_at is None or finish_at - now <= slack_s):
            return False
    return True


ABSENT = (0.0,) * len(CANDIDATE_FEATURES)


def squash_s(seconds: float) -> float:
    """A time as the network gets it."""
    size = min(abs(seconds), LONGEST_S)
    return math.copysign(math.log1p(size / TIME_UNIT_S) / SQUASH, seconds)


def _near(seconds: float) -> float:
    return min(max(seconds / NEAR_S, -NEAR), NEAR)


def _squash(count: float) -> float:
    return min(math.log1p(count) / SQUASH, LIMIT)
