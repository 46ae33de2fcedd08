"""What is known of one candidate from the requests sent to it: the daemon's view, and the simulator's of its models."""

from __future__ import annotations

import math
from collections.abc import Hashable

from policies.profile import Profile
from policies.selection.base import Candidate
from policies.selection.forecast import Forecast, make_forecast

RECENT_WEIGHT = 0.2
"""Of the newest answer in the recent mean: about ten answers make up nine tenths of it."""
ERROR_HALF_LIFE_S = 10.0
"""A model that is no longer asked because it failed is worth another try after a few of these."""
RETRY_AFTER_S = 1.0
"""A model found away counts as ready again after this long, so that its return is noticed without a probe, too."""
PROBE_VALID_S = 3.0
"""How long a probe's "not ready" holds: three probes at one a second."""


class CandidateAccount:
    """Running, waiting, latency, errors and readiness of a candidate that has a profile."""

    __slots__ = (
        "_away_until",
        "_error_rate",
        "_error_rate_at",
        "_recent_s",
        "_sent_at",
        "forecast",
        "instance",
        "name",
        "profile",
        "quality",
    )

    def __init__(self, name: str, *, instance: str, quality: float, profile: Profile) -> None:
        self.name = name
        self.instance = instance
        self.quality = quality
        self.profile = profile
        self.forecast: Forecast = make_forecast(profile)
        self._sent_at: dict[Hashable, float] = {}
        self._recent_s: float | None = None
        self._error_rate = 0.0
        self._error_rate_at = 0.0
        self._away_until = -math.inf

    def __repr__(self) -> str:
        return f"<CandidateAccount {self.name} {self.forecast.running} running, {self.forecast.waiting} waiting>"

    def sent(self, key: Hashable, *, prompt_tokens: int = 0, now: float) -> None:
        """A request goes to the model; `ended` follows for each."""
        self._sent_at[key] = now
        self.forecast.sent(key, prompt_tokens=prompt_tokens, now=now)

    def began(self, key: Hashable, *, now: float) -> None:
        """The first message of a longer answer came."""
        self.forecast.began(key, now=now)

    def answered(self, key: Hashable, *, messages: int = 1, now: float) -> None:
        """The last message of the answer came."""
        self.forecast.ended(key, answered=True, messages=messages, now=now)
        latency_s = now - self._sent_at.pop(key)
        if self._recent_s is None:
            self._recent_s = latency_s
        else:
            self._recent_s += (latency_s - self._recent_s) * RECENT_WEIGHT
        if self._error_rate:
            self._count(failed=0.0, now=now)

    def failed(self, key: Hashable, *, now: float) -> None:
        """The request failed through the model's fault."""
        self.abandoned(key, now=now)
        self._count(failed=1.0, now=now)

    def abandoned(self, key: Hashable, *, now: float) -> None:
        """The request was given up, which says nothing about the model."""
        del self._sent_at[key]
        self.forecast.ended(key, answered=False, messages=0, now=now)

    def away(self, *, now: float) -> None:
        """A request found the model away."""
        self._away_until = max(self._away_until, now + RETRY_AFTER_S)

    def probed(self, *, ready: bool, now: float) -> None:
        """The model was asked whether it is ready."""
        self._away_until = -math.inf if ready else now + PROBE_VALID_S

    def ready(self, *, now: float) -> bool:
        """Whether requests may be sent to it, as far as is known."""
        return now >= self._away_until

    def error_rate(self, *, now: float) -> float:
        """Recent share of requests that failed, 0 to 1; halves every `ERROR_HALF_LIFE_S` without requests."""
        return self._error_rate * 0.5 ** ((now - self._error_rate_at) / ERROR_HALF_LIFE_S) if self._error_rate else 0.0

    def candidate(self, *, prompt_tokens: int = 0, ahead: int = 0, now: float) -> Candidate:
        """The model as a policy sees it, for a request behind `ahead` others that are to be sent to it first."""
        forecast = self.forecast
        finish_at, batch = forecast.predict(prompt_tokens=prompt_tokens, ahead=ahead, now=now)
        return Candidate(
            self.name,
            self.instance,
            self.quality,
            now >= self._away_until,
            forecast.running,
            forecast.waiting + ahead,
            batch,
            finish_at,
            self._recent_s,
            self.error_rate(now=now) if self._error_rate else 0.0,
            forecast.slow_down(now=now),
            profile=self.profile,
        )

    def _count(self, *, failed: float, now: float) -> None:
        self._error_rate = self.error_rate(now=now) * (1 - RECENT_WEIGHT) + failed * RECENT_WEIGHT
        self._error_rate_at = now
