"""Fractions of the traffic for each model, solved for now and then."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from policies.selection.base import NO_CANDIDATES, Candidate, Choice, Request, choosable
from policies.selection.draws import Draws, SplitMix64
from policies.selection.rate import ArrivalRate


@dataclass(frozen=True, slots=True)
class ProteusSettings:
    """What `ProteusLite` may be tuned by."""

    period_s: float = 10.0
    """How long a solution is used; the source solves every 10 to 30 s."""
    utilisation: float = 0.8
    """Share of a candidate's rate that may be planned for."""
    deadline_share: float = 0.5
    """Share of the mean slack that one batch may take: the rest is for waiting."""


class ProteusLite:
    """Each request to a candidate drawn by fractions that maximise quality at the estimated rate.

    Idea: every `period_s`, and when the candidates that are ready change, maximise Σ q·x subject to Σ x = 1 and
    rate·x ≤ utilisation·μ for each candidate. With these constraints the solution is closed: fill the best quality
    first. μ is the rate at the largest batch whose latency is within `deadline_share` of the mean slack of the requests
    since the last solution (batch 1 if none is), for token streams the peak rate: with continuous batching nobody waits
    for a batch to end. What exceeds all candidates together is shed by the same draw.

    Ties go to the order of the configuration. Knobs: `ProteusSettings`. Cost: one draw; a solution sorts the
    candidates. Source: Ahmad et al., "Proteus" (ASPLOS 2024). Differences: one task and no placement of models, so
    that its integer programme becomes the fill above; the rate is the slow estimate. Without a profile μ is one
    request at a time at the recent latency, and without that unbounded.
    """

    name = "proteus_lite"

    def __init__(self, settings: ProteusSettings | None = None, draws: Draws | None = None) -> None:
        self._settings = settings or ProteusSettings()
        self._draws = draws or SplitMix64()
        self._rate = ArrivalRate()
        self._solved_at = -math.inf
        self._solved_for: list[tuple[str, str]] = []
        self._shares: list[float] = []
        self._slack_sum = 0.0
        self._slack_count = 0

    def choose(self, request: Request, candidates: Sequence[Candidate], *, now: float) -> Choice:
        """A candidate drawn by the fractions."""
        rate = self._rate.seen(request, now=now).slow_rate
        positions = choosable(candidates)
        if not positions:
            return NO_CANDIDATES
        slack_s = request.slack_s(now=now)
        if math.isfinite(slack_s):
            self._slack_sum += slack_s
            self._slack_count += 1
        ready = [(candidates[position].instance, candidates[position].name) for position in positions]
        if now - self._solved_at >= self._settings.period_s or ready != self._solved_for:
            self._solved_at, self._solved_for = now, ready
            self._shares = self._solved([candidates[position] for position in positions], rate)
        draw = self._draws.random()
        for position, share in zip(positions, self._shares, strict=True):
            draw -= share
            if draw < 0:
                return Choice(position, f"share {share:.2f}")
        if sum(self._shares) < 1 - 1e-9:
            return Choice(None, "the rate exceeds what the candidates can answer")
        return Choice(positions[-1], "rounding")

    def log_data(self) -> Mapping[str, object]:
        """The fractions, in the order of the candidates that were ready."""
        return {"shares": tuple(round(share, 3) for share in self._shares)}

    def _solved(self, candidates: Sequence[Candidate], rate: float) -> list[float]:
        """Fractions by candidate; their sum is below 1 if the rate is beyond all of them."""
        allowed_s = math.inf
        if self._slack_count:
            allowed_s = self._settings.deadline_share * self._slack_sum / self._slack_count
        self._slack_sum, self._slack_count = 0.0, 0
        shares = [0.0] * len(candidates)
        left = 1.0
        for position in sorted(range(len(candidates)), key=lambda position: -candidates[position].quality):
            capacity = self._settings.utilisation * _rate_within(candidates[position], allowed_s)
            shares[position] = min(left, capacity / rate) if rate > 0 else left
            left -= shares[position]
        return shares


def _rate_within(candidate: Candidate, allowed_s: float) -> float:
    """Requests a second at the largest batch that takes no longer than that; of token streams at most."""
    profile = candidate.profile
    if profile is None:
        return 1 / candidate.latency_s if candidate.latency_s else math.inf
    if profile.tokens is not None:
        return profile.peak_rate / candidate.slow_down
    within = [batch for batch in range(1, profile.max_batch + 1) if profile.p95(batch) <= allowed_s]
    batch = max(within, default=1)
    return profile.instances * batch / (profile.p95(batch) * candidate.slow_down)
