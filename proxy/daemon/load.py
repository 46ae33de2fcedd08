"""What the daemon knows of one model on one Triton: its account, as policies see it, and counts.

Pure accounting: `now` is passed in, in seconds on a monotonic clock. The numbers come from the daemon's own requests,
and from Triton's metrics where they are read.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from policies.profile import Profile
from policies.selection.account import CandidateAccount
from proxy.errors import Code

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
    """One model on one Triton, shared by all routes that have it as a candidate.

    A request has a key of the caller's choice, from `sent` to `finished` or `abandoned`.
    """

    def __init__(self, model: str, triton: str, *, profile: Profile | None = None) -> None:
        self.account = CandidateAccount(model, instance=triton, quality=0.0, profile=profile)
        """What policies are shown, with each route's own quality; readiness and Triton's numbers go there directly."""
        self._running = 0
        self._finished = 0
        self._failed = 0
        self._abandoned = 0

    def __repr__(self) -> str:
        return f"<ModelLoad {self._finished} finished, {self._failed} failed, {self.account!r}>"

    def statistics(self) -> LoadStatistics:
        """Counts since the start."""
        return LoadStatistics(self._running, self._finished, self._failed, self._abandoned)

    def sent(self, key: Hashable, *, prompt_tokens: int = 0, now: float) -> None:
        """A request goes to the model. One of `finished` and `abandoned` follows for each."""
        self._running += 1
        self.account.sent(key, prompt_tokens=prompt_tokens, now=now)

    def begun_at(self, key: Hashable, *, streaming: bool, now: float) -> float:
        """When the model is thought to have begun on a request whose first answer comes now, or which is given up.

        Infinite while it is thought to wait, 0.0 where nothing tells: without a profile, or where that is one of tokens
        and the answer comes as a whole.
        """
        profile = self.account.profile
        if profile is None or (profile.tokens is not None and not streaming):
            return 0.0
        return self.account.forecast.begun_at(key, now=now)

    def began(self, key: Hashable, *, now: float) -> None:
        """The first message of an answer came that may have more."""
        self.account.began(key, now=now)

    def finished(self, key: Hashable, code: int, *, messages: int = 1, now: float) -> None:
        """A request ended with this status, after an answer of so many messages."""
        self._running -= 1
        self._finished += 1
        if code in MODEL_FAULTS:
            self._failed += 1
            self.account.failed(key, now=now)
        elif code == Code.OK:
            self.account.answered(key, messages=messages, now=now)
        else:
            self.account.abandoned(key, now=now)
            self.account.count(failed=False, now=now)

    def abandoned(self, key: Hashable, *, now: float) -> None:
        """A request was given up; it says nothing about the model."""
        self._running -= 1
        self._abandoned += 1
        self.account.abandoned(key, now=now)
