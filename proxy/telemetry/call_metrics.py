"""What became of the calls of clients: how they ended, how long they took, what was left of their deadlines.

A call costs it 1 µs, and 4 with its stages: one look for its class, then numbers that were found at the start.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from policies.traffic import NO_DEADLINE
from proxy.errors import Code
from proxy.telemetry import metric_names as names
from proxy.telemetry.exposition import Family
from proxy.telemetry.metrics import DURATION_BUCKETS, SLACK_BUCKETS, STAGE_BUCKETS, Counter, Histogram, Labelled
from proxy.telemetry.recent import RecentDurations, RecentHistogram
from proxy.telemetry.span_record import TIMER_SLOP_S
from proxy.telemetry.stages import BACKEND, MODEL_COMPUTE, MODEL_QUEUE, STAGES, TOKEN, UPLINK_TRANSFER, Stage
from proxy.tunnel.exchange import CallHead, CallStatus

ON_TIME, LATE, FAILED, REFUSED, CANCELLED = "on_time", "late", "failed", "refused", "cancelled"
"""How a call may end."""

REASONS = (
    "rejected-saturated",
    "rejected-infeasible",
    "rejected-deadline-expired",
    "rejected-shutting-down",
    "rejected-no-backend",
    "evicted-priority",
)
OTHER_REASON = "other"
"""For a reason that headway does not have: trailers come from the backend, too, and may say anything."""
_DROPPED_REASON = "x-headway-dropped-reason"

UNKNOWN_STAGE = "unknown"
MISS_PLACES = (*STAGES, TOKEN, UNKNOWN_STAGE)
"""Where a deadline may be lost."""

ARRIVAL, DAEMON, MODEL, ANSWER, DELIVERED = HOPS = ("proxy", "daemon", "model", "answer", "client")
"""Where slack is looked at: on arrival at the proxy and at the daemon, handed to the model, answered, delivered."""


@dataclass(frozen=True, slots=True)
class ClassStatistics:
    """The calls of one class since the start, by how they ended."""

    on_time: int
    late: int
    failed: int
    refused: int
    cancelled: int
    missed: Mapping[str, int]
    """Deadlines that were missed, by the stage that used them up; without those of no miss."""
    recent: RecentDurations
    """Of calls that were answered or missed their deadline."""


class CallMetrics:
    """Counts the calls of one proxy. Its classes are those given, and what else a call brings: heads are classified."""

    def __init__(self, classes: Iterable[str] = (), *, default_class: str = "") -> None:
        self._default_class = default_class
        self._requests = Labelled(names.REQUESTS, Counter)
        self._refused = Labelled(names.REFUSED, Counter)
        self._missed = Labelled(names.MISSED, Counter)
        self._duration = Labelled(names.REQUEST_DURATION, partial(Histogram, DURATION_BUCKETS))
        self._first_message = Labelled(names.FIRST_MESSAGE, partial(Histogram, DURATION_BUCKETS))
        self._stages = Labelled(names.STAGE_DURATION, partial(Histogram, STAGE_BUCKETS))
        self._slack = Labelled(names.SLACK, partial(Histogram, SLACK_BUCKETS))
        self._unknown_class = Labelled(names.UNKNOWN_CLASS, Counter)
        self._unknown = self._unknown_class.at()
        self._classes = {name: self._class(name) for name in classes}

    def __repr__(self) -> str:
        return f"<CallMetrics {', '.join(self._classes)}>"

    def families(self) -> Iterator[Family]:
        """What a scrape sees."""
        yield self._requests.family()
        yield self._refused.family()
        yield self._missed.family()
        yield self._duration.family()
        yield self._first_message.family()
        yield self._stages.family()
        yield self._slack.family()
        yield self._unknown_class.family()

    def statistics(self, *, now: float) -> dict[str, ClassStatistics]:
        """The same for a person who looks now, by class."""
        return {
            name: ClassStatistics(
                on_time=numbers.on_time.value,
                late=numbers.late.value,
                failed=numbers.failed.value,
                refused=numbers.refused.value,
                cancelled=numbers.cancelled.value,
                missed={place: count for place in MISS_PLACES if (count := self._missed.at(name, place).value)},
                recent=numbers.recent.look(now=now),
            )
            for name, numbers in self._classes.items()
        }

    def named_unknown_class(self) -> None:
        """A call named a class that does not exist."""
        self._unknown.add()

    def ended(
        self,
        head: CallHead,
        status: CallStatus,
        *,
        at: float,
        on_time: bool | None = None,
        first_message_at: float | None = None,
        trace_id: str = "",
        stages: Sequence[Stage] = (),
        missed_at: str = "",
    ) -> None:
        """A call has its status.

        `on_time` where that is not for `at` to tell; `trace_id` of a trace that is kept; `missed_at` is the stage that
        used up a deadline that was missed.
        """
        numbers = self._of(head)
        target_at = head.deadline.target_at
        duration_s = at - head.accepted_at
        numbers.duration.observe(duration_s, trace_id)
        if first_message_at is not None:
            numbers.first_message.observe(first_message_at - head.accepted_at, trace_id)
        if target_at < NO_DEADLINE:
            numbers.arrival_slack.observe(target_at - head.accepted_at)
        since = head.accepted_at
        for name, ended_at in stages:
            numbers.stages[name].observe(ended_at - since)
            since = ended_at
        if not status.ok:
            if status.code == Code.DEADLINE_EXCEEDED:
                numbers.recent.observe(duration_s, at=at)
            self._failed(numbers, status, missed_at)
            return
        numbers.recent.observe(duration_s, at=at)
        if target_at < NO_DEADLINE:
            self._slack_on_the_way(numbers, head, stages)
            numbers.delivered_slack.observe(target_at - at)
        if at <= target_at if on_time is None else on_time:
            numbers.on_time.add()
        else:
            numbers.late.add()
            self._miss(numbers, missed_at)

    def broke_off(self, head: CallHead, *, at: float, missed_at: str = "") -> None:
        """A call's caller has gone: it cancelled, or its gRPC deadline passed."""
        numbers = self._of(head)
        if head.deadline.target_at < NO_DEADLINE:
            numbers.arrival_slack.observe(head.deadline.target_at - head.accepted_at)
        if at >= head.deadline.limit_at - TIMER_SLOP_S:
            numbers.failed.add()
            numbers.recent.observe(at - head.accepted_at, at=at)
            self._miss(numbers, missed_at)
        else:
            numbers.cancelled.add()

    def _slack_on_the_way(self, numbers: _ClassNumbers, head: CallHead, stages: Sequence[Stage]) -> None:
        since, target_at = head.accepted_at, head.deadline.target_at
        for name, ended_at in stages:
            if name == UPLINK_TRANSFER:
                numbers.daemon_slack.observe(target_at - ended_at)
            if name in {MODEL_QUEUE, BACKEND}:
                numbers.model_slack.observe(target_at - since)
            if name in {MODEL_COMPUTE, BACKEND}:
                numbers.answer_slack.observe(target_at - ended_at)
            since = ended_at

    def _failed(self, numbers: _ClassNumbers, status: CallStatus, missed_at: str) -> None:
        reason = next((value for key, value in status.metadata if key == _DROPPED_REASON), None)
        if reason is None:
            numbers.failed.add()
        else:
            numbers.refused.add()
            known = reason if isinstance(reason, str) and reason in REASONS else OTHER_REASON
            self._refused.at(numbers.name, known).add()
        if status.code == Code.DEADLINE_EXCEEDED:
            self._miss(numbers, missed_at)

    def _miss(self, numbers: _ClassNumbers, stage: str) -> None:
        self._missed.at(numbers.name, stage or UNKNOWN_STAGE).add()

    def _of(self, head: CallHead) -> _ClassNumbers:
        name = head.traffic_class or self._default_class
        found = self._classes.get(name)
        if found is None:
            found = self._classes[name] = self._class(name)
        return found

    def _class(self, name: str) -> _ClassNumbers:
        for reason in REASONS:
            self._refused.at(name, reason)
        for stage in MISS_PLACES:
            self._missed.at(name, stage)
        return _ClassNumbers(
            name,
            on_time=self._requests.at(name, ON_TIME),
            late=self._requests.at(name, LATE),
            failed=self._requests.at(name, FAILED),
            refused=self._requests.at(name, REFUSED),
            cancelled=self._requests.at(name, CANCELLED),
            duration=self._duration.at(name),
            first_message=self._first_message.at(name),
            arrival_slack=self._slack.at(name, ARRIVAL),
            daemon_slack=self._slack.at(name, DAEMON),
            model_slack=self._slack.at(name, MODEL),
            answer_slack=self._slack.at(name, ANSWER),
            delivered_slack=self._slack.at(name, DELIVERED),
            stages={stage: self._stages.at(name, stage) for stage in STAGES},
            recent=RecentHistogram(),
        )


@dataclass(slots=True)
class _ClassNumbers:
    """What a call of one class adds to."""

    name: str
    on_time: Counter
    late: Counter
    failed: Counter
    refused: Counter
    cancelled: Counter
    duration: Histogram
    first_message: Histogram
    arrival_slack: Histogram
    daemon_slack: Histogram
    model_slack: Histogram
    answer_slack: Histogram
    delivered_slack: Histogram
    stages: dict[str, Histogram]
    recent: RecentHistogram
