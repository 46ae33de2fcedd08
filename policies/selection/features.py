"""What a learned policy sees, as numbers. Training, the simulator's environment and the daemon all encode with this.

Times are squashed: sign(t) · ln(1 + |t| / 0.1 s) / 4, which puts 10 ms at 0.02, 1 s at 0.6, 5 s at 1; counts are
ln(1 + n) / 4, rates ln(1 + r) / 4. Nothing leaves -3 to 3. A candidate's numbers do not say which candidate it is, so
that one network serves any number of them; only profile and state tell them apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from policies.selection.base import Candidate, Request
from policies.traffic import TrafficClass

SCHEMA = 1
"""Raised with every change of what a number means or where it stands; a checkpoint carries it."""

TIME_UNIT_S = 0.1
LONGEST_S = 60.0
"""Beyond it times are alike; also what stands for no deadline."""
SQUASH = 4.0
LIMIT = 3.0

REQUEST_FEATURES = (
    "slack",  # until the answer must leave the daemon
    "way_back",
    "token_deadline",
    "weight",
    "size",
    "tokens",
    "streaming",
    "attempt",
    "fast_rate",
    "slow_rate",
    "rate_change",  # ln(fast / slow)
    "own_share",  # of its class in the arrivals
    "heavier_share",  # of classes that weigh more
    "mean_weight",  # of the arrivals
    "mean_deadline",
)
CANDIDATE_FEATURES = (
    "there",  # 1; the rows of absent candidates are all 0
    "ready",
    "quality",
    "running",
    "waiting",
    "batch",  # the one it would join, over the largest
    "finish",  # seconds until the predicted answer
    "margin",  # slack less that
    "in_time",  # 1 if margin is not below 0
    "alone",  # seconds for a batch of one, 95th percentile
    "full",  # seconds for the largest batch
    "fast_load",  # fast rate over its peak rate
    "slow_load",
    "latency",
    "error_rate",
    "slow_down",
    "gpu_load",
    "step",  # seconds of a decoding step with one sequence more, over the token deadline
)


class Features:
    """Encodes requests of the traffic classes of a configuration; a class that it does not have weighs 1."""

    __slots__ = ("_classes",)

    def __init__(self, classes: Mapping[str, TrafficClass]) -> None:
        self._classes = {name: (kind.weight, squash_s(kind.deadline_s)) for name, kind in classes.items()}

    def request(self, request: Request, *, now: float) -> list[float]:
        """Values of `REQUEST_FEATURES`."""
        arrivals = request.arrivals
        fast = slow = change = own = heavier = 0.0
        mean_weight, mean_deadline = request.weight, squash_s(request.deadline_at - now)
        if arrivals is not None:
            fast, slow = arrivals.fast_rate, arrivals.slow_rate
            change = math.log((fast + 0.1) / (slow + 0.1)) / SQUASH
            if arrivals.class_mix:
                mean_weight = mean_deadline = 0.0
                for name, share in arrivals.class_mix:
                    weight, deadline = self._classes.get(name, (1.0, squash_s(LONGEST_S)))
                    mean_weight += share * weight
                    mean_deadline += share * deadline
                    own += share * (name == request.traffic_class)
                    heavier += share * (weight > request.weight)
        return [
            squash_s(request.slack_s(now=now)),
            squash_s(request.way_back_s),
            squash_s(request.token_deadline_s),
            min(request.weight / SQUASH, LIMIT),
            _squash(request.size_bytes / 1024),
            _squash((request.size_tokens or 0) / 16),
            float(request.streaming),
            min(request.attempt / SQUASH, LIMIT),
            _squash(fast),
            _squash(slow),
            min(max(change, -LIMIT), LIMIT),
            own,
            heavier,
            min(mean_weight / SQUASH, LIMIT),
            mean_deadline,
        ]

    def candidate(self, candidate: Candidate, request: Request, *, now: float) -> list[float]:
        """Values of `CANDIDATE_FEATURES`. What nobody knows of the candidate is 0."""
        slack_s = request.slack_s(now=now)
        finish_at = candidate.predicted_finish_at
        finish_s = slack_s if finish_at is None else finish_at - now
        margin_s = 0.0 if finish_at is None else slack_s - finish_s
        profile, arrivals = candidate.profile, request.arrivals
        alone = full = fast = slow = batch = step = 0.0
        if profile is not None:
            alone, full = squash_s(profile.p95(1)), squash_s(profile.p95(profile.max_batch))
            largest = profile.max_batch
            if profile.tokens is not None:
                largest = profile.tokens.max_sequences
                step = profile.tokens.step(min(candidate.running + 1, largest)) / request.token_deadline_s
            batch = (candidate.batch or 0) / largest
            if arrivals is not None:
                fast, slow = _squash(arrivals.fast_rate / profile.peak_rate), arrivals.slow_rate / profile.peak_rate
                slow = _squash(slow)
        return [
            1.0,
            float(candidate.ready),
            candidate.quality,
            _squash(candidate.running),
            _squash(candidate.waiting),
            batch,
            squash_s(finish_s),
            squash_s(margin_s),
            float(margin_s >= 0),
            alone,
            full,
            min(fast * SQUASH, LIMIT),
            min(slow * SQUASH, LIMIT),
            squash_s(candidate.latency_s or 0.0),
            candidate.error_rate,
            min(math.log(max(candidate.slow_down, 1.0)), LIMIT),
            candidate.gpu_load or 0.0,
            min(step, LIMIT),
        ]

    def flat(self, request: Request, candidates: Sequence[Candidate | None], *, places: int, now: float) -> list[float]:
        """The request's values, then those of each of `places` candidates; None and what is lacking are zeros."""
        values = self.request(request, now=now)
        for candidate in candidates[:places]:
            values += ABSENT if candidate is None else self.candidate(candidate, request, now=now)
        for _ in range(places - len(candidates)):
            values += ABSENT
        return values


ABSENT = (0.0,) * len(CANDIDATE_FEATURES)


def squash_s(seconds: float) -> float:
    """A time as the network gets it."""
    size = min(abs(seconds), LONGEST_S)
    return math.copysign(math.log1p(size / TIME_UNIT_S) / SQUASH, seconds)


def _squash(count: float) -> float:
    return min(math.log1p(count) / SQUASH, LIMIT)
