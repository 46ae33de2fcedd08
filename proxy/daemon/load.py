"""What the daemon knows of one model on one Triton: requests there, latency, errors, readiness.

Pure accounting: `now` is passed in, in seconds on a monotonic clock. The numbers come from the daemon's own requests;
the model's queue is known only where somebody reads it from Triton and tells (`queued`).
"""

from __future__ import annotations

from dataclasses import dataclass

from policies.selection.base import Candidate
from policies.selection.health import RECENT_WEIGHT, Health
from proxy.errors import Code

LONG_RUN_WEIGHT = 0.005
"""Of the newest answer in the long-run mean: about five hundred answers make up nine tenths of it."""

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


class ModelLoad(Health):
    """The account of one model on one Triton, shared by all routes that have it as a candidate."""

    def __init__(self) -> None:
        super().__init__()
        self._in_flight = 0
        self._finished = 0
        self._failed = 0
        self._abandoned = 0
        self._queued = 0
        self._recent_s: float | None = None
        self._long_run_s = 0.0

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
        self.count(failed=failed, now=now)
        if code == Code.OK:
            self._answered(now - sent_at)

    def abandoned(self) -> None:
        """A request was given up; it says nothing about the model."""
        self._in_flight -= 1
        self._abandoned += 1

    def queued(self, count: int) -> None:
        """Triton reports this many requests waiting in the model's queue."""
        self._queued = count

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
