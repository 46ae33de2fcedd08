"""Stands between a route and a policy that may be missing, broken, wrong or slow: greedy then decides.

Greedy goes by slack: the best quality that is predicted to be in time. A request never fails because a policy did.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from policies.selection.base import Candidate, Choice, Policy, Request
from policies.selection.greedy import Greedy
from policies.selection.registry import make_policy
from proxy.clock import Clock, ThreadCpuClock

logger = logging.getLogger(__name__)

LEARNED = frozenset({"dqn"})
"""Policies that come out of a file."""

BUDGET_S = 0.005
"""CPU time for one decision: a hundredth of a deadline that is short by the standards of large models. What a trained
policy takes is measured by `python -m ops.bench decision`: some fifty times less."""
IN_A_ROW = 3
"""Failures after which it rests: one that is slow alone may have had the garbage collector's work added to its own."""
REST_S = 10.0
"""How long greedy then decides before the policy is tried again."""
LOG_EVERY_S = 60.0
"""A cause is logged at most this often."""

UNUSABLE, RAISED, NOT_A_NUMBER, OUT_OF_RANGE, SLOW, RESTING = (
    "unusable checkpoint",
    "exception",
    "scores are not numbers",
    "no such candidate",
    "too slow",
    "resting",
)
"""Causes, as they stand in logs, statistics and traces."""


@dataclass(frozen=True, slots=True)
class GuardStatistics:
    """What a guard has seen since it began."""

    decisions: int
    fallbacks: Mapping[str, int]
    """Decisions that greedy took, by cause; those that were too slow and stood nevertheless count, too."""
    unusable: str = ""
    """Why there is no policy to ask; empty when there is one."""


class Failures:
    """Counts and logs what goes wrong with one policy, and says when it is to rest."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._in_a_row = 0
        self._rests_until = -math.inf
        self._decisions = 0
        self._fallbacks: Counter[str] = Counter()
        self._logged_at: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"{self._name} {self._decisions} decisions, {sum(self._fallbacks.values())} fallbacks"

    @property
    def fallbacks(self) -> Mapping[str, int]:
        """By cause."""
        return self._fallbacks

    def statistics(self, *, unusable: str = "") -> GuardStatistics:
        """Counts since the start."""
        return GuardStatistics(self._decisions, dict(self._fallbacks), unusable)

    def asked(self) -> None:
        """There is something to decide."""
        self._decisions += 1

    def resting(self, *, now: float) -> bool:
        """Whether it is not to be asked."""
        return now < self._rests_until

    def worked(self) -> None:
        """It decided, and soon enough."""
        self._in_a_row = 0

    def failed(self, cause: str, what: str, *, now: float) -> None:
        """It did not, for one of the causes."""
        self._in_a_row += 1
        if self._in_a_row >= IN_A_ROW:
            self._in_a_row = 0
            self._rests_until = now + REST_S
        self.note(cause, what, now=now)

    def was_slow(self, took_s: float, budget_s: float, *, now: float) -> None:
        """It decided, and took longer than it may."""
        self.failed(SLOW, f"{took_s * 1000:.1f} ms, and {budget_s * 1000:g} ms are allowed", now=now)

    def note(self, cause: str, what: str, *, now: float) -> None:
        """Another policy decides instead, or, where it was slow, would have been as good."""
        self._fallbacks[cause] += 1
        if cause != RESTING and now >= self._logged_at.get(cause, -math.inf) + LOG_EVERY_S:
            self._logged_at[cause] = now
            logger.warning("Policy %s: %s (%s); where it fails, greedy decides", self._name, cause, what)


class GuardedPolicy:
    """A policy that is another one as long as that one works.

    `policy` is a text that says why there is none, where it could not be made. A decision that took longer than
    `budget_s` by `timer` stands; several failures in a row, of whatever kind, and the policy is not asked for a while.
    The timer is to tell the thread's CPU time: when the machine is busy elsewhere greedy would have to wait as well.
    """

    def __init__(
        self, name: str, policy: Policy | str, *, timer: Clock | None = None, budget_s: float = BUDGET_S
    ) -> None:
        self._name = name
        self._policy = policy
        self._fallback = Greedy()
        self._timer = timer or ThreadCpuClock()
        self._budget_s = budget_s
        self._failures = Failures(name)

    def __repr__(self) -> str:
        return f"<GuardedPolicy {self._failures!r}>"

    @property
    def name(self) -> str:
        """The name of the policy that is guarded."""
        return self._name

    def statistics(self) -> GuardStatistics:
        """Counts since the start."""
        return self._failures.statistics(unusable=self._policy if isinstance(self._policy, str) else "")

    def choose(self, request: Request, candidates: Sequence[Candidate], *, now: float) -> Choice:
        """The policy's choice if it is one, else greedy's, with the cause in `fallback`."""
        failures, policy = self._failures, self._policy
        failures.asked()
        if isinstance(policy, str):
            failures.note(UNUSABLE, policy, now=now)
            return self._instead(UNUSABLE, request, candidates, now)
        if failures.resting(now=now):
            failures.note(RESTING, "", now=now)
            return self._instead(RESTING, request, candidates, now)
        began_at = self._timer.now()
        try:
            choice = policy.choose(request, candidates, now=now)
        except Exception as error:  # noqa: BLE001 -- whatever is wrong with it, the request is to be served
            failures.failed(RAISED, f"{type(error).__name__}: {error}", now=now)
            return self._instead(RAISED, request, candidates, now)
        if not all(score < math.inf for score in choice.scores):  # -inf is for what can't be chosen
            failures.failed(NOT_A_NUMBER, str(choice.scores), now=now)
            return self._instead(NOT_A_NUMBER, request, candidates, now)
        if choice.candidate is not None and not 0 <= choice.candidate < len(candidates):
            failures.failed(OUT_OF_RANGE, f"{choice.candidate} of {len(candidates)}", now=now)
            return self._instead(OUT_OF_RANGE, request, candidates, now)
        took_s = self._timer.now() - began_at
        if took_s > self._budget_s:
            failures.was_slow(took_s, self._budget_s, now=now)
        else:
            failures.worked()
        return choice

    def log_data(self) -> Mapping[str, object]:
        """The policy's own, and the fallbacks by cause."""
        own = {} if isinstance(self._policy, str) else self._policy.log_data()
        return {**own, "fallbacks": dict(self._failures.fallbacks)}

    def _instead(self, cause: str, request: Request, candidates: Sequence[Candidate], now: float) -> Choice:
        return replace(self._fallback.choose(request, candidates, now=now), fallback=cause)


def is_learned(spec: str) -> bool:
    """Whether a policy of this name comes out of a file, so that it needs a guard."""
    return spec.partition(":")[0] in LEARNED


def guarded_policy(spec: str) -> Policy:
    """The policy of this name, a learned one with a guard. Raises ValueError that says why it can't be had."""
    policy = make_policy(spec)
    return GuardedPolicy(spec, policy) if is_learned(spec) else policy


def policy_at_start(spec: str) -> Policy:
    """As `guarded_policy`, but where a learned policy can't be had greedy stands in, and the reason is logged.

    A daemon starts without its checkpoint. Raises ValueError for a name that no policy has.
    """
    try:
        return guarded_policy(spec)
    except (ValueError, OSError, ImportError) as error:
        if not is_learned(spec):
            raise
        logger.warning("Policy %s can't be used: %s; greedy decides instead", spec, error)
        return GuardedPolicy(spec, str(error))
