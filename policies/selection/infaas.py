"""Least loaded of the models that are good enough, else the closest in quality that has room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from policies.selection.base import NO_CANDIDATES, Candidate, Choice, Request, choosable
from policies.selection.finish import finishes_in_time, peak_rate


@dataclass(frozen=True, slots=True)
class InfaasSettings:
    """What `Infaas` may be tuned by."""

    required_quality: float = 0.8
    """Share of the best candidate's quality that a model must have to be good enough."""
    class_quality: tuple[tuple[str, float], ...] = ()
    """The same for single traffic classes, by name."""
    window_s: float = 1.0
    """How many seconds of its peak rate a candidate may have queued before it counts as full."""


class Infaas:
    """The least loaded of the candidates that are good enough, in the manner of INFaaS.

    Idea: load is what a candidate has queued over what it can answer within `window_s`. Of those good enough and below
    load 1 the least loaded; else, of the others below 1 that finish in time, the closest below in quality; else shed.

    Ties go to the higher quality, then to the order of the configuration. Knobs: `InfaasSettings`. Cost: one load a
    candidate, and a prediction each if all that are good enough are full. Source: Romero et al., "INFaaS" (USENIX ATC
    2021). Differences: no scaling and no loading of variants; the quality asked for is relative to the best
    candidate's, per route and class, where INFaaS has the client name it. Without a profile a candidate's peak rate
    is one request at a time at its recent latency.
    """

    name = "infaas"

    def __init__(self, settings: InfaasSettings | None = None) -> None:
        self._settings = settings or InfaasSettings()
        self._class_quality = dict(self._settings.class_quality)
        self._degraded = 0

    def choose(self, request: Request, candidates: Sequence[Candidate], *, now: float) -> Choice:
        """A candidate below load 1."""
        positions = choosable(candidates)
        if not positions:
            return NO_CANDIDATES
        share = self._class_quality.get(request.traffic_class, self._settings.required_quality)
        required = share * max(candidate.quality for candidate in candidates)
        load = {
            position: candidates[position].load / (peak_rate(candidates[position]) * self._settings.window_s)
            for position in positions
        }
        good = [p for p in positions if candidates[p].quality >= required and load[p] < 1]
        if good:
            best = min(good, key=lambda position: (load[position], -candidates[position].quality))
            return Choice(best, f"load {load[best]:.2f}")
        _, in_time, _ = finishes_in_time(request, candidates, now=now)
        others = [p for p in in_time if load[p] < 1]
        if not others:
            return Choice(None, "no candidate has room and is in time")
        self._degraded += 1
        return Choice(max(others, key=lambda position: candidates[position].quality), "closest in quality with room")

    def log_data(self) -> Mapping[str, object]:
        """How many requests went to a model below the quality asked for."""
        return {"degraded": self._degraded}
