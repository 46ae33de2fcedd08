"""What a planner believes of one model, and what that model could do with requests that wait for it."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import accumulate
from typing import NamedTuple

from policies.profile import Profile
from policies.selection.forecast import BatchForecast

PASSED_OVER = 0.25
"""What it costs a batch to leave a more urgent request behind, as a share of that one's weight. With 0, 0.25, 0.5 and 1
the shipped workloads, seeds 900 and 901, scored 0.8780, 0.8779, 0.8758, 0.8725 (`stable`), 0.8199, 0.8211, 0.8200,
0.8165 (`unpredictable`), 0.8615, 0.8625, 0.8634, 0.8623 (`flash`), 0.8938, 0.8958, 0.8955, 0.8952 (`mmpp`).
"""


@dataclass(frozen=True, slots=True)
class LateSettings:
    """What `LatePlanner` may be tuned by."""

    lead_sigmas: float = 2.5
    """How long before the predicted end of a batch the next one is sent, in standard deviations of its latency."""
    least_lead_s: float = 0.005
    """At least so long before it, for the way to the model and where the profile has no deviation."""
    margin_sigmas: float = 3.0
    """Standard deviations of a batch's latency that are added to the 95th percentile of it. The batch before it, whose
    end is predicted by the median, may be late as well."""
    way_back_deviations: float = 3.0
    """Mean deviations of the way back that an answer is to have in hand where it can."""


class Waiting(NamedTuple):
    """A request that waits in the daemon."""

    last_at: float
    """When an answer is to leave the daemon, with something in hand for the way back."""
    order: int
    """Of its coming: who came first stands before another of the same deadline."""
    weight: float
    key: Hashable
    due_at: float
    """When an answer must leave the daemon to be in time by the expected way back."""


class LateModel(BatchForecast):
    """What is believed of a model, and what it could do with requests that wait for it."""

    def __init__(self, position: int, profile: Profile, settings: LateSettings) -> None:
        # Also the pace of a model that takes less than its profile says: it must not find its queue empty.
        super().__init__(profile, least_pace=0.0)
        self.position = position
        self._lead = settings.lead_sigmas * profile.deviation
        self._least_lead_s = settings.least_lead_s
        margin = 1 + settings.margin_sigmas * profile.deviation / profile.p95_over_p50
        self._takes_s = [seconds * margin for seconds in self._p95]
        self._full_s: list[float] = []

    def opens_at(self, *, now: float) -> float:
        """When its next batch may be sent: in the past for an idle instance; infinite while a batch waits there."""
        if self._waiting:
            return math.inf
        if len(self._batches) < self._instances:
            return -math.inf
        slow, p50, lead, least_s = self._pace.at(now), self._p50, self._lead, self._least_lead_s
        return min(
            batch.started_at + seconds - max(least_s, seconds * lead)
            for batch in self._batches
            for seconds in (p50[batch.size] * slow,)
        )

    def earliest_at(self, *, now: float) -> float:
        """When it could have answered a request that is sent as soon as it may be."""
        slow = self._pace.at(now)
        return self._starts(now, slow)[0] + self._p50[1] * slow

    def keep(
        self, left: Sequence[Waiting], *, fallback: bool = False, now: float
    ) -> tuple[Sequence[Waiting], Sequence[Waiting]]:
        """Those that it can finish in time, and the others; both by deadline.

        As a `fallback`, which nobody comes after, it also keeps those that it can finish in time with nothing in hand.
        """
        slow = self._pace.at(now)
        starts = self._starts(now, slow)
        base_at = starts[0]
        first = bisect_left(left, (base_at + self._takes_s[1] * slow,))
        if first and fallback:
            left, first = self._with_tight(left, first, base_at, slow)
        ends_s = self._ends_s(len(left) - first, starts, slow)
        ordered = left[first:] if first else left
        heap: list[tuple[float, float, int]] = []
        out: set[int] = set()
        kept = 0
        for last_at, order, weight, _, _ in ordered:
            if out:
                heappush(heap, (weight, last_at, order))
            if (last_at - base_at) >= ends_s[kept] * slow:
                kept += 1
                continue
            if not out:
                heap = [(one.weight, one.last_at, one.order) for one in ordered[: kept + 1]]
                heapify(heap)
            out.add(heappop(heap)[2])
        if not out:
            return ordered, left[:first]
        others = [request for request in ordered if request.order in out]
        return [request for request in ordered if request.order not in out], [*left[:first], *others]

    def _with_tight(
        self, left: Sequence[Waiting], first: int, base_at: float, slow: float
    ) -> tuple[Sequence[Waiting], int]:
        """The same where those that can be in time with nothing in hand come late enough, and where they begin."""
        median_s = self._p50[1] * slow
        margin_s = self._takes_s[1] * slow - median_s
        lost = [request for request in left[:first] if request.due_at < base_at + median_s]
        if len(lost) == first:
            return left, first
        tight = [request for request in left[:first] if request.due_at >= base_at + median_s]
        moved = [request._replace(last_at=request.due_at + margin_s) for request in tight]
        return [*lost, *sorted([*moved, *left[first:]])], len(lost)

    def batch(self, kept: Sequence[Waiting], *, now: float) -> Sequence[Waiting]:
        """Of those kept, the ones to send now.

        What is too urgent for a batch counts against it: this model, which kept it from the others, won't answer it.
        """
        takes_s, largest, slow = self._takes_s, self._max_batch, self._pace.at(now)
        if len(self._batches) < self._instances and not self._delay_s:
            largest = 1  # it would run the first alone
        start_at = self._starts(now, slow)[0]
        worth = [0.0, *accumulate(request.weight for request in kept)]
        best, chosen, first = 0.0, (0, 0), 0
        for size in range(1, min(largest, len(kept)) + 1):
            ends_at = start_at + takes_s[size] * slow
            while first < len(kept) and kept[first].last_at < ends_at:
                first += 1
            if first + size > len(kept):
                break
            value = worth[first + size] - worth[first] * (1 + PASSED_OVER)
            if value > best:
                best, chosen = value, (first, first + size)
        return kept[slice(*chosen)]

    def _starts(self, now: float, slow: float) -> list[float]:
        """When instances are free for batches that are not sent yet, ascending."""
        p50 = self._p50
        starts = [max(now, batch.started_at + p50[batch.size] * slow) for batch in self._batches]
        starts += [now + self._delay_s] * (self._instances - len(starts))
        starts.sort()
        if self._waiting:
            starts[0] += p50[min(self._max_batch, len(self._waiting))] * slow
            starts.sort()
        return starts

    def _ends_s(self, count: int, starts: Sequence[float], slow: float) -> Sequence[float]:
        """When it has answered 1, 2, … requests in full batches: seconds from the first start at its usual pace."""
        takes_s, full_s = self._takes_s, self._full_s
        while len(full_s) < count:
            before_s = len(full_s) // self._max_batch * takes_s[-1]
            full_s.extend(before_s + seconds for seconds in takes_s[1:])
        if len(starts) == 1:
            return full_s
        ends_s = [(start_at - starts[0]) / slow + seconds for start_at in starts for seconds in full_s[:count]]
        return sorted(ends_s)[:count]
