"""What policies reckon with: when a candidate would finish, how much it can answer, who fits a deadline."""

from __future__ import annotations

import math
from collections.abc import Sequence

from policies.selection.base import Candidate, Request, choosable


def expected_wait_s(candidate: Candidate) -> float:
    """Seconds until a batch that has room starts, from the profile and the load alone; 0 without a profile.

    Requests in service are spread over the instances, and the batch that runs is half done on average; what waits goes
    in full batches.
    """
    profile = candidate.profile
    if profile is None:
        return 0.0
    room = profile.instances * profile.max_batch
    in_service = min(candidate.running, room)
    queued = candidate.load - in_service
    if in_service < profile.instances and not queued:
        return 0.0
    running_batch = min(profile.max_batch, max(1, math.ceil(in_service / profile.instances)))
    rounds = queued // room
    return (profile.p95(running_batch) / 2 + rounds * profile.p95(profile.max_batch)) * candidate.slow_down


def own_batch(candidate: Candidate) -> int:
    """Size of the batch that the request would join: as reported, else from what waits; at least 1."""
    profile = candidate.profile
    if profile is None:
        return 1
    joined = candidate.batch if candidate.batch is not None else candidate.waiting % profile.max_batch + 1
    return min(max(1, joined), profile.max_batch)


def expected_finish_at(candidate: Candidate, *, now: float, margin_sigmas: float = 0.0) -> float:
    """When it would answer, plus `margin_sigmas` standard deviations of a batch's latency, on the clock of `now`.

    In this order: what the candidate itself predicts; its profile's 95th percentile after the expected wait; its recent
    latency, which has its queue in it. A candidate of which nothing is known answers at once, so that it is tried.
    """
    profile = candidate.profile
    if profile is None:
        if candidate.predicted_finish_at is not None:
            return candidate.predicted_finish_at
        return now + (candidate.latency_s or 0.0)
    batch = own_batch(candidate)
    margin_s = margin_sigmas * profile.deviation * profile.at(batch)
    if candidate.predicted_finish_at is not None:
        return candidate.predicted_finish_at + margin_s
    return now + expected_wait_s(candidate) + profile.p95(batch) * candidate.slow_down + margin_s


def peak_rate(candidate: Candidate) -> float:
    """Requests a second at most: the profile's, else one at a time at the recent latency, else infinite."""
    if candidate.profile is not None:
        return candidate.profile.peak_rate / candidate.slow_down
    return 1 / candidate.latency_s if candidate.latency_s else math.inf


def finishes_in_time(
    request: Request, candidates: Sequence[Candidate], *, now: float, margin_sigmas: float = 0.0
) -> tuple[list[int], list[int], dict[int, float]]:
    """Positions that may be chosen, those of them that finish in time, and when each would finish."""
    positions = choosable(candidates)
    latest_at = request.deadline_at - request.way_back_s
    finish_at = {
        position: expected_finish_at(candidates[position], now=now, margin_sigmas=margin_sigmas)
        for position in positions
    }
    return positions, [position for position in positions if finish_at[position] <= latest_at], finish_at
