"""What is known of one candidate from the requests sent to it: the daemon's view, and the simulator's of its models."""

from __future__ import annotations

from collections.abc import Hashable

from policies.profile import Profile
from policies.selection.base import Candidate
from policies.selection.forecast import Forecast, make_forecast
from policies.selection.health import RECENT_WEIGHT, Health
from policies.selection.learned_latency import LearnedLatency


class CandidateAccount(Health):
    """Running, waiting, latency, errors and readiness of one model on one Triton.

    With a profile it predicts when the model would answer; without, its answers tell how long it takes.
    """

    __slots__ = (
        "_others_waiting",
        "_recent_s",
        "_sent_at",
        "forecast",
        "gpu_load",
        "instance",
        "name",
        "profile",
        "quality",
    )

    def __init__(self, name: str, *, instance: str, quality: float, profile: Profile | None = None) -> None:
        super().__init__()
        self.name = name
        self.instance = instance
        self.quality = quality
        self.profile = profile
        self.forecast: Forecast | LearnedLatency = LearnedLatency() if profile is None else make_forecast(profile)
        self.gpu_load: float | None = None
        """Utilisation of its GPU as last read, 0 to 1; None while nobody reads it."""
        self._others_waiting = 0
        self._sent_at: dict[Hashable, float] = {}
        self._recent_s: float | None = None

    def __repr__(self) -> str:
        return f"<CandidateAccount {self.name} {self.forecast.running} running, {self.forecast.waiting} waiting>"

    def sent(self, key: Hashable, *, prompt_tokens: int = 0, now: float) -> None:
        """A request goes to the model; `ended` follows for each."""
        self._sent_at[key] = now
        self.forecast.sent(key, prompt_tokens=prompt_tokens, now=now)

    def queued(self, count: int) -> None:
        """The model's queue is said to hold this many requests; 0 when nobody can say any more.

        More than were sent from here and have not ended must be somebody else's: they are ahead of the next request
        until another count comes. How many of its own wait is for the forecast to tell, which knows of every request
        since; only where there is no profile does the count stand for that.
        """
        self._others_waiting = max(0, count - len(self._sent_at))
        if isinstance(self.forecast, LearnedLatency):
            self.forecast.queued(count - self._others_waiting)

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
            self.count(failed=False, now=now)

    def failed(self, key: Hashable, *, now: float) -> None:
        """The request failed through the model's fault."""
        self.abandoned(key, now=now)
        self.count(failed=True, now=now)

    def abandoned(self, key: Hashable, *, now: float) -> None:
        """The request was given up, which says nothing about the model."""
        del self._sent_at[key]
        self.forecast.ended(key, answered=False, messages=0, now=now)

    def candidate(
        self, *, prompt_tokens: int = 0, ahead: int = 0, quality: float | None = None, now: float
    ) -> Candidate:
        """The model as a policy sees it, for a request behind `ahead` others that are to be sent to it first.

        `quality` is that of one route, where routes differ in what they think of the model.
        """
        forecast = self.forecast
        ahead += self._others_waiting
        finish_at, batch = forecast.predict(prompt_tokens=prompt_tokens, ahead=ahead, now=now)
        return Candidate(
            self.name,
            self.instance,
            self.quality if quality is None else quality,
            now >= self._away_until,
            forecast.running,
            forecast.waiting + ahead,
            batch,
            finish_at,
            self._recent_s,
            self.error_rate(now=now) if self._error_rate else 0.0,
            forecast.slow_down(now=now),
            self.gpu_load,
            self.profile,
        )
