"""What the daemon knows of one model on one Triton: its account, as policies see it, and counts.

Pure accounting: `now` is passed in, in seconds on a monotonic clock. The numbers come from the daemon's own requests,
and from Triton's metrics where they are read.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

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


class LoadWatcher(Protocol):
    """Is told what happens at a model, by whichever route it was used."""

    def sent(self, load: ModelLoad, key: Hashable, *, now: float) -> None:
        """A request goes to the model."""

    def ended(self, load: ModelLoad, key: Hashable, *, answered: bool, now: float) -> None:
        """A request was answered, or failed or was given up."""

    def readiness_changed(self) -> None:
        """The model is ready, or it is not any more."""


class ModelLoad:
    """One model on one Triton, shared by all routes that have it as a candidate.

    A request has a key of the caller's choice, from `sent` to `finished` or `abandoned`.
    """

    def __init__(self, model: str, triton: str, *, profile: Profile | None = None) -> None:
        self.account = CandidateAccount(model, instance=triton, quality=0.0, profile=profile)
        """What policies are shown, with each route's own quality; Triton's numbers go there directly."""
        self._under_way: dict[Hashable, float] = {}
        self._watchers: list[LoadWatcher] = []
        self._finished = 0
        self._failed = 0
        self._abandoned = 0

    def __repr__(self) -> str:
        return f"<ModelLoad {self._finished} finished, {self._failed} failed, {self.account!r}>"

    @property
    def under_way(self) -> Mapping[Hashable, float]:
        """When each request was sent that has not ended, by its key, the oldest first."""
        return MappingProxyType(self._under_way)

    def watch(self, watcher: LoadWatcher) -> None:
        """Tell somebody from now on."""
        self._watchers.append(watcher)

    def unwatch(self, watcher: LoadWatcher) -> None:
        """Tell them no more."""
        self._watchers.remove(watcher)

    def away(self, *, now: float) -> None:
        """A request found the model or its Triton away."""
        self.account.away(now=now)
        self._tell_readiness()

    def probed(self, *, ready: bool, now: float) -> None:
        """The model was asked whether it is ready."""
        changed = ready != self.account.ready(now=now)
        self.account.probed(ready=ready, now=now)
        if changed:
            self._tell_readiness()

    def statistics(self) -> LoadStatistics:
        """Counts since the start."""
        return LoadStatistics(len(self._under_way), self._finished, self._failed, self._abandoned)

    def sent(self, key: Hashable, *, prompt_tokens: int = 0, now: float) -> None:
        """A request goes to the model. One of `finished` and `abandoned` follows for each."""
        self._under_way[key] = now
        self.account.sent(key, prompt_tokens=prompt_tokens, now=now)
        for watcher in self._watchers:
            watcher.sent(self, key, now=now)

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
        del self._under_way[key]
        self._finished += 1
        if code in MODEL_FAULTS:
            self._failed += 1
            self.account.failed(key, now=now)
        elif code == Code.OK:
            self.account.answered(key, messages=messages, now=now)
        else:
            self.account.abandoned(key, now=now)
            self.account.count(failed=False, now=now)
        self._tell_end(key, answered=code == Code.OK, now=now)

    def abandoned(self, key: Hashable, *, now: float) -> None:
        """A request was given up; it says nothing about the model."""
        del self._under_way[key]
        self._abandoned += 1
        self.account.abandoned(key, now=now)
        self._tell_end(key, answered=False, now=now)

    def _tell_end(self, key: Hashable, *, answered: bool, now: float) -> None:
        for watcher in self._watchers:
            watcher.ended(self, key, answered=answered, now=now)

    def _tell_readiness(self) -> None:
        for watcher in self._watchers:
            watcher.readiness_changed()
