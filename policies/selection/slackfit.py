"""SlackFit: buckets of latency, and the highest that fits the slack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from policies.selection.base import NO_CANDIDATES, Candidate, Choice, Request, choosable
from policies.selection.finish import expected_finish_at, expected_wait_s, own_batch
from policies.selection.greedy import NONE_IN_TIME


@dataclass(frozen=True, slots=True)
class SlackFitSettings:
    """What `SlackFit` may be tuned by."""

    buckets: int = 10
    """Into how many equal parts the range from the least to the greatest latency is cut."""
    none_fits: Literal["shed", "earliest"] = "shed"
    """What happens to a request that fits no bucket: refused, or sent where it finishes first."""


class Tuple(NamedTuple):
    """A candidate run with a batch size: what a bucket keeps."""

    latency_s: float
    batch: int
    position: int


class SlackFit:
    """The highest bucket of latencies that fits the slack.

    Idea: all (candidate, batch size) pairs are put in buckets of equal width by their profiled latency, and each
    bucket keeps the pair of the largest batch. A long slack takes a high bucket, an accurate model; a short one a low
    bucket, a model and batch of high throughput. No estimate of the arrival rate.

    Ties within a bucket go to the higher quality, then to the lower latency. Knobs: `SlackFitSettings`. Cost: one pass
    over the buckets; they are made anew when the set of candidates that are ready changes. Source: Khare et al.,
    "SuperServe" (NSDI 2025).

    Differences from the source. It decides late, when an executor becomes free: the most urgent request in one queue
    gives the slack, the wait behind it is in that slack already, and the pair's whole batch is run at once. Here a
    request is decided on arrival and waits at its candidate, so each pair must fit the slack less that candidate's
    expected wait, and the batch is what Triton makes of its queue: the pair's latency is what the request is reckoned
    to take, with the companions that it may get. A slack that would fit a pair of an idle executor may thus fit none
    here; such requests are shed, or go where they finish first. The source's pairs are parts of one supernet; here
    they are separate models. Without a profile a candidate has one pair: a batch of 1 at its recent latency.
    """

    name = "slackfit"

    def __init__(self, settings: SlackFitSettings | None = None) -> None:
        self._settings = settings or SlackFitSettings()
        self._made_from: list[tuple[object, ...]] = []
        self._buckets: list[Tuple] = []
        self._unfit = 0

    def choose(self, request: Request, candidates: Sequence[Candidate], *, now: float) -> Choice:
        """The candidate of the highest bucket that fits."""
        positions = choosable(candidates)
        if not positions:
            return NO_CANDIDATES
        self._make_buckets(candidates, positions)
        slack_s = request.slack_s(now=now)
        wait_s = {position: _wait_s(candidates[position], now=now) for position in positions}
        for latency_s, batch, position in self._buckets:
            if wait_s[position] + latency_s * candidates[position].slow_down <= slack_s:
                return Choice(position, f"bucket of {latency_s:.3f} s, batch {batch}")
        self._unfit += 1
        if self._settings.none_fits == "shed":
            return NONE_IN_TIME
        earliest = min(positions, key=lambda position: expected_finish_at(candidates[position], now=now))
        return Choice(earliest, "fits no bucket, earliest")

    def log_data(self) -> Mapping[str, object]:
        """How many pairs the buckets keep and how many requests fitted none."""
        return {"buckets": len(self._buckets), "none_fits": self._unfit}

    def _make_buckets(self, candidates: Sequence[Candidate], positions: Sequence[int]) -> None:
        made_from: list[tuple[object, ...]] = [
            (position, candidate.quality, candidate.profile or candidate.latency_s)
            for position in positions
            for candidate in [candidates[position]]
        ]
        if made_from == self._made_from:
            return
        self._made_from = made_from
        tuples = [pair for position in positions for pair in _tuples(position, candidates[position])]
        least = min(latency_s for latency_s, _, _ in tuples)
        width = (max(latency_s for latency_s, _, _ in tuples) - least) / self._settings.buckets
        kept: dict[int, Tuple] = {}
        for pair in tuples:
            bucket = min(int((pair.latency_s - least) / width), self._settings.buckets - 1) if width else 0
            best = kept.get(bucket)
            if best is None or _rank(pair, candidates) > _rank(best, candidates):
                kept[bucket] = pair
        self._buckets = [kept[bucket] for bucket in sorted(kept, reverse=True)]


def _rank(pair: Tuple, candidates: Sequence[Candidate]) -> tuple[float, ...]:
    return pair.batch, candidates[pair.position].quality, -pair.latency_s


def _tuples(position: int, candidate: Candidate) -> list[Tuple]:
    profile = candidate.profile
    if profile is None:
        return [Tuple(candidate.latency_s or 0.0, 1, position)]
    return [Tuple(profile.p95(batch), batch, position) for batch in range(1, profile.max_batch + 1)]


def _wait_s(candidate: Candidate, *, now: float) -> float:
    """Seconds until its own batch would start: from its prediction if there is one."""
    if candidate.profile is None or candidate.predicted_finish_at is None:
        return expected_wait_s(candidate)
    own_s = candidate.profile.p95(own_batch(candidate)) * candidate.slow_down
    return max(0.0, candidate.predicted_finish_at - now - own_s)
