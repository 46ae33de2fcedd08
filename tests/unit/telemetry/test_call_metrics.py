from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from policies.traffic import Deadline
from proxy.errors import Code
from proxy.telemetry.call_metrics import HOPS, MISS_PLACES, REASONS, CallMetrics
from proxy.telemetry.exposition import Family
from proxy.telemetry.stages import STAGES
from proxy.tunnel.exchange import CallHead, CallStatus
from tests.unit.telemetry.pages import nonzero, parsed, values

OK = CallStatus(Code.OK)


def metrics() -> CallMetrics:
    return CallMetrics(["realtime", "bulk"], default_class="bulk")


def head(traffic_class: str = "realtime", *, target_s: float = 1.0, limit_s: float = math.inf) -> CallHead:
    """A call that arrived at 100 s."""
    deadline = Deadline(100.0 + target_s, 100.0 + limit_s)
    return CallHead("/a/b", traffic_class=traffic_class, deadline=deadline, accepted_at=100.0)


def refused(reason: str, code: int = Code.RESOURCE_EXHAUSTED) -> CallStatus:
    return CallStatus(code, metadata=(("x-headway-dropped-reason", reason),))


class Again:
    """Families that can be read more than once."""

    def __init__(self, calls: CallMetrics) -> None:
        self._calls = calls

    def __iter__(self) -> Iterator[Family]:
        return self._calls.families()


def test_everything_is_shown_at_0_from_the_start() -> None:
    families = Again(metrics())
    assert len(values(families, "headway_requests_total")) == 2 * 5
    assert len(values(families, "headway_requests_refused_total")) == 2 * len(REASONS)
    assert len(values(families, "headway_deadline_missed_total")) == 2 * len(MISS_PLACES)
    assert len(values(families, "headway_request_duration_seconds_count")) == 2
    assert len(values(families, "headway_first_message_seconds_count")) == 2
    assert len(values(families, "headway_stage_duration_seconds_count")) == 2 * len(STAGES)
    assert {labels[:2] for labels in values(families, "headway_slack_seconds_bucket")} == {
        (name, hop) for name in ("realtime", "bulk") for hop in HOPS
    }
    assert values(families, "headway_unknown_class_total") == {(): 0}
    assert [one for metric in parsed(families).values() for one in metric.samples if one.value] == []


def test_stages_and_what_is_left_after_them() -> None:
    calls = metrics()
    ends = {
        "receive": 100.0,
        "uplink_wait": 100.05,
        "uplink_transfer": 100.1,
        "daemon_queue": 100.15,
        "policy": 100.2,
        "model_queue": 100.3,
        "model_compute": 100.8,
        "downlink_transfer": 100.9,
    }
    stages = [*ends.items()]
    calls.ended(head(), CallStatus(Code.UNAVAILABLE), at=100.9, stages=stages[:3])
    calls.ended(head(), OK, at=100.9, stages=stages)
    counts = nonzero(calls.families(), "headway_stage_duration_seconds_count")
    assert counts == {("realtime", name): 2 if name in list(ends)[:3] else 1 for name in ends}
    assert values(calls.families(), "headway_stage_duration_seconds_sum")["realtime", "model_compute"] == pytest.approx(
        0.5
    )
    buckets = values(calls.families(), "headway_slack_seconds_bucket")
    for hop, below, above in (("daemon", "0.5", "1.0"), ("model", "0.5", "1.0"), ("answer", "0.1", "0.25")):
        assert (buckets["realtime", hop, below], buckets["realtime", hop, above]) == (0, 1)


def test_a_miss_is_entered_where_it_happened() -> None:
    calls = metrics()
    calls.ended(head(), OK, at=102.0, missed_at="downlink_wait")
    calls.broke_off(head(limit_s=1.0), at=101.0, missed_at="model_queue")
    assert nonzero(calls.families(), "headway_deadline_missed_total") == {
        ("realtime", "downlink_wait"): 1,
        ("realtime", "model_queue"): 1,
    }


@pytest.mark.parametrize(
    ("status", "at", "outcome", "missed"),
    [
        (OK, 100.9, "on_time", False),
        (OK, 101.0, "on_time", False),
        (OK, 101.1, "late", True),
        (CallStatus(Code.INVALID_ARGUMENT), 100.1, "failed", False),
        (CallStatus(Code.UNAVAILABLE), 105.0, "failed", False),
        (CallStatus(Code.DEADLINE_EXCEEDED), 101.0, "failed", True),
        (refused("rejected-saturated"), 100.1, "refused", False),
        (refused("rejected-deadline-expired", Code.DEADLINE_EXCEEDED), 101.0, "refused", True),
    ],
)
def test_how_a_call_may_end(status: CallStatus, at: float, outcome: str, missed: bool) -> None:
    calls = metrics()
    calls.ended(head(), status, at=at)
    assert nonzero(calls.families(), "headway_requests_total") == {("realtime", outcome): 1}
    assert nonzero(calls.families(), "headway_deadline_missed_total") == (
        {("realtime", "unknown"): 1} if missed else {}
    )


def test_a_call_without_a_deadline_is_on_time_when_it_is_answered() -> None:
    calls = metrics()
    calls.ended(head("bulk", target_s=math.inf), OK, at=1e6)
    assert nonzero(calls.families(), "headway_requests_total") == {("bulk", "on_time"): 1}
    assert nonzero(calls.families(), "headway_slack_seconds_bucket") == {}


def test_of_a_stream_somebody_else_says_whether_it_was_on_time() -> None:
    calls = metrics()
    calls.ended(head(), OK, at=109.0, on_time=True, first_message_at=100.5)
    calls.ended(head(), OK, at=100.9, on_time=False, first_message_at=100.7)
    assert nonzero(calls.families(), "headway_requests_total") == {("realtime", "on_time"): 1, ("realtime", "late"): 1}
    assert nonzero(calls.families(), "headway_first_message_seconds_count") == {("realtime",): 2}
    [total] = nonzero(calls.families(), "headway_first_message_seconds_sum").values()
    assert total == pytest.approx(1.2)


@pytest.mark.parametrize(
    ("at", "limit_s", "outcome", "missed"),
    [
        (100.2, math.inf, "cancelled", {}),
        (103.0, 3.0, "failed", {("realtime", "unknown"): 1}),
        (102.9, 3.0, "cancelled", {}),
    ],
)
def test_a_caller_that_goes_has_cancelled_unless_its_deadline_has_passed(
    at: float, limit_s: float, outcome: str, missed: dict[tuple[str, ...], float]
) -> None:
    calls = metrics()
    calls.broke_off(head(limit_s=limit_s), at=at)
    assert nonzero(calls.families(), "headway_requests_total") == {("realtime", outcome): 1}
    assert nonzero(calls.families(), "headway_deadline_missed_total") == missed
    assert nonzero(calls.families(), "headway_request_duration_seconds_count") == {}


def test_reasons_are_those_that_headway_has() -> None:
    calls = metrics()
    calls.ended(head(), refused("rejected-no-backend"), at=100.1)
    calls.ended(head(), refused("whatever the backend likes"), at=100.1)
    assert nonzero(calls.families(), "headway_requests_refused_total") == {
        ("realtime", "rejected-no-backend"): 1,
        ("realtime", "other"): 1,
    }


def test_duration_and_slack_with_the_trace() -> None:
    calls = metrics()
    calls.ended(head(), OK, at=100.3, trace_id="0af7")
    duration = parsed(calls.families())["headway_request_duration_seconds"].samples
    [found] = [(one.labels["le"], one.exemplar) for one in duration if one.exemplar is not None]
    assert found == ("0.5", found[1])
    assert found[1].labels == {"trace_id": "0af7"}
    buckets = values(calls.families(), "headway_slack_seconds_bucket")
    assert [buckets["realtime", "client", le] for le in ("0.5", "1.0")] == [0, 1]
    assert [buckets["realtime", "proxy", le] for le in ("0.5", "1.0")] == [0, 1]


def test_a_call_that_was_never_classified_counts_for_the_default_class() -> None:
    calls = metrics()
    calls.ended(CallHead("/a/b", accepted_at=100.0), CallStatus(Code.INVALID_ARGUMENT), at=100.0)
    assert nonzero(calls.families(), "headway_requests_total") == {("bulk", "failed"): 1}


def test_classes_may_turn_up_later_and_unknown_ones_are_counted() -> None:
    calls = CallMetrics()
    calls.ended(head("late-comer"), OK, at=100.0)
    calls.named_unknown_class()
    assert nonzero(calls.families(), "headway_requests_total") == {("late-comer", "on_time"): 1}
    assert nonzero(calls.families(), "headway_unknown_class_total") == {(): 1}


def test_what_a_person_who_looks_now_sees() -> None:
    calls = metrics()
    calls.ended(head(), OK, at=100.2)
    calls.ended(head(), OK, at=101.5, missed_at="model_queue")
    calls.ended(head(), CallStatus(Code.DEADLINE_EXCEEDED), at=101.0, missed_at="model_queue")
    calls.ended(head(), CallStatus(Code.UNAVAILABLE), at=100.001)
    calls.ended(head(), refused("rejected-saturated"), at=100.001)
    calls.broke_off(head(), at=100.3)
    calls.broke_off(head(limit_s=1.0), at=101.0, missed_at="uplink_wait")
    seen = calls.statistics(now=102.0)
    assert list(seen) == ["realtime", "bulk"]
    realtime = seen["realtime"]
    assert (realtime.on_time, realtime.late, realtime.failed, realtime.refused, realtime.cancelled) == (1, 1, 3, 1, 1)
    assert realtime.missed == {"model_queue": 2, "uplink_wait": 1}
    # What failed or was refused at once says nothing of how long an answer takes.
    assert realtime.recent.count == 4
    assert realtime.recent.p50_s == pytest.approx(1.0, rel=0.05)
    assert realtime.recent.p99_s == pytest.approx(1.5, rel=0.05)
    assert seen["bulk"].recent.count == 0
