"""When a candidate would answer one more request: predicted from its profile and from what was sent and came back.

The daemon and the simulator predict with the same code, and neither tells it what goes on inside the model: it does not
see which requests share a batch, when a batch began, or how long it will take.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import NamedTuple, Protocol

from policies.profile import Profile, TokenProfile

SLOW_DOWN_WEIGHT = 0.2
"""Of the newest batch in the recent slow-down: about ten batches make up nine tenths of it."""
LENGTH_WEIGHT = 0.02
"""Of the newest answer in the mean length of token streams: lengths spread more widely than paces."""
FORGOTTEN_S = 60.0
"""Seconds without an answer after which what was learnt of a model's pace counts e times less.

A model that was slow is avoided, so that nothing would tell that it has recovered.
"""
EARLIEST = 0.5
"""Of the profiled time: an answer sooner than that was in a batch that had begun before it was thought to."""


class Prediction(NamedTuple):
    """What one more request would meet."""

    finish_at: float
    """When its answer, or the first message of it, would be there; 95th percentile where the profile has one."""
    batch: int
    """Size of the batch that it would join, with it."""


class Forecast(Protocol):
    """The believed state of one candidate. Keys name requests; they are the caller's."""

    @property
    def running(self) -> int:
        """Requests believed to be in a batch."""

    @property
    def waiting(self) -> int:
        """Requests believed to be in the model's queue."""

    def sent(self, key: Hashable, *, prompt_tokens: int, now: float) -> None:
        """A request goes to the candidate."""

    def began(self, key: Hashable, *, now: float) -> None:
        """The first message of its answer came, and more follow."""

    def ended(self, key: Hashable, *, answered: bool, messages: int, now: float) -> None:
        """It ended: with the last message of its answer, or (not `answered`) failed or given up."""

    def begun_at(self, key: Hashable, *, now: float) -> float:
        """When the model is thought to have begun on a request whose first answer comes now.

        Infinite for one that is thought to wait still.
        """

    def slow_down(self, *, now: float) -> float:
        """Recent time over the profiled one, at least 1; what is overdue counts too."""

    def predict(self, *, prompt_tokens: int, ahead: int, now: float) -> Prediction:
        """For a request that is sent now, behind `ahead` others that are not sent yet."""


class Pace:
    """Running mean of times over the profiled ones. Of what was learnt long ago little is left, and 1 in its place."""

    __slots__ = ("_known_at", "_least", "_mean")

    def __init__(self, least: float = 1.0) -> None:
        self._least = least
        self._mean = 1.0
        self._known_at = 0.0

    def at(self, now: float) -> float:
        """What is to be expected now."""
        mean = self._mean
        return mean if mean == 1.0 else 1.0 + (mean - 1.0) * math.exp((self._known_at - now) / FORGOTTEN_S)

    def observe(self, ratio: float, *, now: float) -> None:
        """A batch or an answer took so many times what the profile says."""
        mean = self.at(now)
        self._mean = max(self._least, mean + (ratio - mean) * SLOW_DOWN_WEIGHT)
        self._known_at = now


class _Batch:
    __slots__ = ("ended", "left", "size", "started_at")

    def __init__(self, size: int, started_at: float) -> None:
        self.size = size
        self.left = size
        self.started_at = started_at
        self.ended = False


class BatchForecast:
    """Of a model with dynamic batching: a queue in order of arrival, batches on one or more instances.

    A batch is thought to begin when an instance is free and, where the profile has a delay, the batch is full or its
    first request has waited that long; it is thought over when the first of its requests comes back. Preferred batch
    sizes are left out of account. Cost does not grow with the queue.
    """

    def __init__(self, profile: Profile, *, least_pace: float = 1.0) -> None:
        self._p50 = (0.0, *(profile.at(batch) for batch in range(1, profile.max_batch + 1)))
        self._p95 = (0.0, *(profile.p95(batch) for batch in range(1, profile.max_batch + 1)))
        self._instances = profile.instances
        self._max_batch = profile.max_batch
        self._delay_s = profile.batch_delay_s
        self._waiting: dict[Hashable, float] = {}
        self._running: dict[Hashable, _Batch] = {}
        self._batches: list[_Batch] = []
        self._freed_at = -math.inf
        self._pace = Pace(least_pace)

    def __repr__(self) -> str:
        return f"<BatchForecast {self.running} running in {len(self._batches)} batches, {self.waiting} waiting>"

    @property
    def running(self) -> int:
        """Requests in batches."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._waiting)

    def sent(self, key: Hashable, *, prompt_tokens: int, now: float) -> None:
        """It waits, and begins at once if it can."""
        if self._delay_s:
            self._begin(now)
        self._waiting[key] = now
        if len(self._batches) < self._instances:
            self._begin(now)

    def began(self, key: Hashable, *, now: float) -> None:
        """Nothing: a batch ends with all of its answers."""

    def ended(self, key: Hashable, *, answered: bool, messages: int, now: float) -> None:
        """The first of a batch frees its instance."""
        if self._delay_s:
            self._begin(now)
        batch = self._running.pop(key, None)
        if batch is None:
            self._waiting.pop(key, None)
            return
        batch.left -= 1
        if batch.ended or (batch.left and not answered):
            return  # the others of a batch run on without one that was given up
        batch.ended = True
        self._batches.remove(batch)
        self._freed_at = now
        if answered:
            ratio = (now - batch.started_at) / self._p50[batch.size]
            if ratio >= EARLIEST:
                self._pace.observe(ratio, now=now)
        self._begin(now)

    def begun_at(self, key: Hashable, *, now: float) -> float:
        """With its batch."""
        batch = self._running.get(key)
        return math.inf if batch is None else batch.started_at

    def slow_down(self, *, now: float) -> float:
        """The running mean of batches, or the batch that is most overdue."""
        slow = self._pace.at(now)
        for batch in self._batches:
            overdue = (now - batch.started_at) / self._p95[batch.size]
            slow = max(slow, overdue)
        return slow

    def predict(self, *, prompt_tokens: int, ahead: int, now: float) -> Prediction:
        """Behind the running batches and the full ones that the queue makes."""
        if self._delay_s:
            self._begin(now)
        p95, largest, batches = self._p95, self._max_batch, self._batches
        full, place = divmod(len(self._waiting) + ahead, largest)
        place += 1
        slow = self._pace.at(now)
        if len(batches) < self._instances:
            start_at = now
            if full or (self._delay_s and place < largest):
                oldest_at = next(iter(self._waiting.values()), now)
                start_at = max(now, oldest_at + self._delay_s) + full * p95[largest] * slow
            return Prediction(start_at + p95[place] * slow, place)
        if len(batches) == 1:
            batch = batches[0]
            start_at = max(now, batch.started_at + p95[batch.size] * slow) + full * p95[largest] * slow
        else:
            ends = sorted(max(now, batch.started_at + p95[batch.size] * slow) for batch in batches)
            rounds, instance = divmod(full, len(ends))
            start_at = ends[instance] + rounds * p95[largest] * slow
        return Prediction(start_at + p95[place] * slow, place)

    def _begin(self, now: float) -> None:
        waiting = self._waiting
        while waiting and len(self._batches) < self._instances:
            size = min(len(waiting), self._max_batch)
            started_at = now
            if self._delay_s and size < self._max_batch:
                due_at = next(iter(waiting.values())) + self._delay_s
                if due_at > now:
                    return
                started_at = max(due_at, self._freed_at)
            batch = _Batch(size, started_at)
            self._batches.append(batch)
            for key in list(waiting)[:size] if size < len(waiting) else list(waiting):
                del waiting[key]
                self._running[key] = batch


class TokenForecast:
    """Of a model with continuous batching: what is predicted is the first token.

    How many tokens an answer will have is not known; the mean of the answers so far stands in, and before the first one
    the length that takes as long as the profile's whole answer. Cost does not grow with the sequences under way.
    """

    def __init__(self, profile: Profile) -> None:
        tokens = profile.tokens
        if tokens is None:
            raise ValueError("the profile has no tokens")
        self._tokens: TokenProfile = tokens
        self._waiting: dict[Hashable, float] = {}
        self._prefill_s = 0.0
        self._active: dict[Hashable, float] = {}
        self._mean_tokens = max(1.0, (profile.at(1) - tokens.prefill_base_s) / tokens.step(1))
        self._pace = Pace()

    def __repr__(self) -> str:
        return f"<TokenForecast {self.running} sequences, {self.waiting} waiting>"

    @property
    def running(self) -> int:
        """Sequences that have begun to answer."""
        return len(self._active)

    @property
    def waiting(self) -> int:
        """Requests whose first token has not come."""
        return len(self._waiting)

    def sent(self, key: Hashable, *, prompt_tokens: int, now: float) -> None:
        """Its prompt is to be read."""
        self._waiting[key] = prefill_s = self._tokens.prefill(prompt_tokens)
        self._prefill_s += prefill_s

    def began(self, key: Hashable, *, now: float) -> None:
        """Its prompt has been read."""
        if self._leave_queue(key):
            self._active[key] = now

    def ended(self, key: Hashable, *, answered: bool, messages: int, now: float) -> None:
        """Its pace tells how slow the model is, its length how long answers are."""
        self._leave_queue(key)
        began_at = self._active.pop(key, None)
        if began_at is None or not answered:
            return
        self._mean_tokens += (messages - self._mean_tokens) * LENGTH_WEIGHT
        if messages > 1:
            pace = (now - began_at) / (messages - 1) / self._step_s(len(self._active) + 1)
            self._pace.observe(pace, now=now)

    def begun_at(self, key: Hashable, *, now: float) -> float:
        """As long ago as it takes to read its prompt."""
        prefill_s = self._waiting.get(key)
        return math.inf if prefill_s is None else now - prefill_s * self._pace.at(now)

    def slow_down(self, *, now: float) -> float:
        """The running mean of answers that ended."""
        return self._pace.at(now)

    def predict(self, *, prompt_tokens: int, ahead: int, now: float) -> Prediction:
        """After a step, the prompts ahead, and, with the running batch full, after those that must end first."""
        active, largest = len(self._active), self._tokens.max_sequences
        occupied = active + len(self._waiting) + ahead
        own_s = self._tokens.prefill(prompt_tokens)
        if occupied >= largest:
            wait_s = self._wait_s(occupied - largest)  # the prompts ahead are read while the others write
        else:
            wait_s = (self._step_s(active) if active else 0.0) + (self._prefill_s + ahead * own_s)
        return Prediction(now + (wait_s + own_s) * self._pace.at(now), min(occupied + 1, largest))

    def _leave_queue(self, key: Hashable) -> bool:
        prefill_s = self._waiting.pop(key, None)
        if prefill_s is None:
            return False
        self._prefill_s = self._prefill_s - prefill_s if self._waiting else 0.0
        return True

    def _step_s(self, sequences: int) -> float:
        return self._tokens.step(min(max(sequences, 1), self._tokens.max_sequences))

    def _wait_s(self, before: int) -> float:
        """Seconds until `before` + 1 of the sequences of a full batch have ended.

        How long one has been writing says little about how long it will go on: lengths of answers spread widely.
        """
        largest = self._tokens.max_sequences
        return (before + 1) * self._mean_tokens * self._step_s(largest) / largest


def make_forecast(profile: Profile) -> Forecast:
    """The forecast of the profile's kind."""
    return BatchForecast(profile) if profile.tokens is None else TokenForecast(profile)
