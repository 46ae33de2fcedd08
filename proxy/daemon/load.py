"""What the daemon knows of one model on one Triton: requests there, latency, errors, readiness.

Pure accounting: `now` is passed in, in seconds on a monotonic clock. The numbers come from the daemon's own requests;
the model's queue is known only where somebody reads it from Triton and tells (`queued`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from policies.selection.base import Candidate
from proxy.errors import Code

RECENT_WEIGHT = 0.2
"""Of the newest answer in the recent mean: about ten answers make up nine tenths of it."""
LONG_RUN_WEIGHT = 0.005
"""Of the newest answer in the long-run mean: about five hundred answers make up nine tenths of it."""
ERROR_HALF_LIFE_S = 10.0
"""A model that is no longer asked because it failed is worth another try after a few of these."""
RETRY_AFTER_S = 1.0
"""A model found away counts as ready again after this long, so that without a probe, too, its return is noticed."""
PROBE_VALID_S = 3.0
"""How long a probe's "not ready" holds: three probes at the interval of `proxy.daemon.probe`."""

MODEL_FAULTS = frozenset({Code.UNKNOWN, Code.DEADLINE_EXCEEDED, Code.INTERNAL, Code.UNAVAILABLE, Code.DATA_LOSS})
"""Statuses that tell against the model; others tell against the request."""


@dataclass(frozen=True, slots=True)
class LoadStatistics:
    """Counts since the start, and what is under way."""

    running: int = 0
    finished: int = 0
    failed: int = 0
    """Of the finished ones, those that failed through the model's fault."""
    abandoned: int = 0
    """Given up before they ended: cancelled by the caller, or late."""


class ModelLoad:
    """The account of one model on one Triton, shared by all routes that have it as a candidate."""

    def __init__(self) -> None:
        self._in_flight = 0
        self._finished = 0
        self._failed = 0
        self._abandoned = 0
        self._queued = 0
        self._recent_s: float | None = None
        self._long_run_s = 0.0
        self._error_rate = 0.0
        self._error_rate_at = 0.0
        self._away_until = -math.inf

    def __repr__(self) -> str:
        latency = "no answer yet" if self._recent_s is None else f"{self._recent_s * 1000:.1f} ms"
        return f"<ModelLoad {self._in_flight} in flight, {self._finished} finished, {self._failed} failed, {latency}>"

    def statistics(self) -> LoadStatistics:
        """Counts since the start."""
        return LoadStatistics(self._in_flight, self._finished, self._failed, self._abandoned)

    def sent(self) -> None:
        """A request goes to the model. One of `finished` and `abandoned` follows for each."""
        self._in_flight += 1

    def finished(self, code: int, *, sent_at: float, now: float) -> None:
        """A request ended with this status, after all of its answer."""
        self._in_flight -= 1
        self._finished += 1
        failed = code in MODEL_FAULTS
        self._failed += failed
        self._error_rate = self.error_rate(now=now) * (1 - RECENT_WEIGHT) + failed * RECENT_WEIGHT
        self._error_rate_at = now
        if code == Code.OK:
            self._answered(now - sent_at)

    def abandoned(self) -> None:
        """A request was given up; it says nothing about the model."""
        self._in_flight -= 1
        self._abandoned += 1

    def queued(self, count: int) -> None:
        """Triton reports this many requests waiting in the model's queue."""
        self._queued = count

    def away(self, *, now: float) -> None:
        """A request found the model or its Triton away."""
        self._away_until = max(self._away_until, now + RETRY_AFTER_S)

    def probed(self, *, ready: bool, now: float) -> None:
        """Triton was asked whether the model is ready."""
        self._away_until = -math.inf if ready else now + PROBE_VALID_S

    def ready(self, *, now: float) -> bool:
        """Whether requests may be sent to it, as far as is known."""
        return now >= self._away_until

    def error_rate(self, *, now: float) -> float:
        """Recent share of requests that failed, 0 to 1; halves every `ERROR_HALF_LIFE_S` without requests."""
        return self._error_rate * 0.5 ** ((now - self._error_rate_at) / ERROR_HALF_LIFE_S) if self._error_rate else 0.0

    def candidate(self, model: str, triton: str, quality: float, *, now: float) -> Candidate:
        """The model as a policy sees it."""
        waiting = min(self._queued, self._in_flight)
        return Candidate(
            name=model,
            instance=triton,
            quality=quality,
            ready=self.ready(now=now),
            running=self._in_flight - waiting,
            waiting=waiting,
            latency_s=self._recent_s,
            error_rate=self.error_rate(now=now),
            slow_down=max(1.0, self._recent_s / self._long_run_s) if self._recent_s and self._long_run_s else 1.0,
        )

    def _answered(self, latency_s: float) -> None:
        if self._recent_s is None:
            self._recent_s = self._long_run_s = latency_s
            return
        self._recent_s += (latency_s - self._recent_s) * RECENT_WEIGHT
        self._long_run_s += (latency_s - self._long_run_s) * LONG_RUN_WEIGHT
