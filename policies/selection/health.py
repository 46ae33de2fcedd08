"""Whether a candidate can be asked, and how often it fails: for the daemon's account of a model and the simulator's."""

from __future__ import annotations

import math

RECENT_WEIGHT = 0.2
"""Of the newest answer in a recent mean: about ten answers make up nine tenths of it."""
ERROR_HALF_LIFE_S = 10.0
"""A model that is no longer asked because it failed is worth another try after a few of these."""
RETRY_AFTER_S = 1.0
"""A model found away counts as ready again after this long, so that without a probe, too, its return is noticed."""
PROBE_VALID_S = 3.0
"""How long a probe's "not ready" holds: three probes at the interval of `proxy.daemon.probe`."""


class Health:
    """What is known of one model from requests and probes. `now` is in seconds on a monotonic clock."""

    __slots__ = ("_away_until", "_error_rate", "_error_rate_at")

    def __init__(self) -> None:
        self._error_rate = 0.0
        self._error_rate_at = 0.0
        self._away_until = -math.inf

    def away(self, *, now: float) -> None:
        """A request found the model or its Triton away."""
        self._away_until = max(self._away_until, now + RETRY_AFTER_S)

    def probed(self, *, ready: bool, now: float) -> None:
        """The model was asked whether it is ready."""
        self._away_until = -math.inf if ready else now + PROBE_VALID_S

    def ready(self, *, now: float) -> bool:
        """Whether requests may be sent to it, as far as is known."""
        return now >= self._away_until

    @property
    def ready_at(self) -> float:
        """From when on requests may be sent to it, if nothing is heard before."""
        return self._away_until

    def count(self, *, failed: bool, now: float) -> None:
        """A request ended, through the model's fault or not."""
        self._error_rate = self.error_rate(now=now) * (1 - RECENT_WEIGHT) + failed * RECENT_WEIGHT
        self._error_rate_at = now

    def error_rate(self, *, now: float) -> float:
        """Recent share of requests that failed, 0 to 1; halves every `ERROR_HALF_LIFE_S` without requests."""
        return self._error_rate * 0.5 ** ((now - self._error_rate_at) / ERROR_HALF_LIFE_S) if self._error_rate else 0.0
