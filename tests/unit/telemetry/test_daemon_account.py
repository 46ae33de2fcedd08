from __future__ import annotations

import math

import pytest

from policies.traffic import Deadline
from proxy.errors import Code
from proxy.telemetry.daemon_account import conclude_at_daemon
from proxy.tunnel.exchange import CallHead, CallStatus, CallTimes
from tests.unit.daemon.spans import RecordedSpan


class Span(RecordedSpan):
    ended_at = 0.0

    def finish(self, status: CallStatus, *, at: float | None = None) -> None:
        super().finish(status, at=at)
        self.ended_at = at or 0.0


def answered() -> CallTimes:
    times = CallTimes()
    times.received_at, times.sent_at, times.answered_at = 100.1, 100.2, 100.6
    times.first_left_at, times.last_left_at, times.least_way_s = 100.8, 100.9, 0.05
    return times


def told(
    times: CallTimes,
    *,
    target_at: float = 101.0,
    limit_at: float = math.inf,
    code: Code = Code.OK,
    unary: bool = True,
    recording: bool = True,
    now: float = 100.9,
) -> Span:
    span = Span(recording=recording)
    head = CallHead("/p.S/M", deadline=Deadline(target_at, limit_at), accepted_at=100.0, unary=unary, times=times)
    conclude_at_daemon(span, head, times, CallStatus(code), lambda: now)
    return span


def test_the_span_ends_when_the_answer_has_left_and_has_each_end_of_a_stage() -> None:
    span = told(answered())
    assert span.ended_at == 100.9
    assert span.events == ["uplink_transfer", "daemon_queue", "backend", "downlink_wait"]
    assert [event["headway.deadline.slack_ms"] for event in span.event_attributes] == pytest.approx(
        [900, 800, 400, 200]
    )
    assert "headway.deadline.missed_at" not in span.attributes


@pytest.mark.parametrize(
    ("target_at", "stage"),
    [
        (100.05, "uplink_transfer"),
        (100.15, "daemon_queue"),
        (100.5, "backend"),
        (100.7, "downlink_wait"),
        (100.94, "downlink_transfer"),
        (100.96, None),
        (math.inf, None),
    ],
)
def test_a_deadline_that_can_t_be_met_any_more_is_missed(target_at: float, stage: str | None) -> None:
    assert told(answered(), target_at=target_at).attributes.get("headway.deadline.missed_at") == stage


@pytest.mark.parametrize(("target_at", "events"), [(101.0, 0), (100.5, 4)])
def test_an_unsampled_call_is_told_of_only_if_it_missed(target_at: float, events: int) -> None:
    assert len(told(answered(), target_at=target_at, recording=False).events) == events


def test_a_call_that_time_ran_out_for_is_where_it_was() -> None:
    times = CallTimes()
    times.received_at = times.sent_at = 100.1
    times.begun_at = math.inf
    span = told(times, target_at=100.9005, code=Code.DEADLINE_EXCEEDED)
    assert span.attributes["headway.deadline.missed_at"] == "model_queue"


@pytest.mark.parametrize(("now", "stage"), [(100.5, None), (100.899, "backend"), (100.9, "backend")])
def test_a_call_that_is_cancelled_at_its_grpc_deadline_missed_it(now: float, stage: str | None) -> None:
    times = CallTimes()
    times.received_at = times.sent_at = 100.1
    span = told(times, limit_at=100.9, code=Code.CANCELLED, now=now)
    assert span.attributes.get("headway.deadline.missed_at") == stage
    assert span.ended_at == now


def test_the_first_message_of_a_stream_is_due_as_long_after_the_request_as_the_call_allows() -> None:
    times = answered()
    times.last_left_at = 107.0
    span = told(times, target_at=100.8, unary=False)
    assert "headway.deadline.missed_at" not in span.attributes
    assert span.ended_at == 107.0
    assert told(answered(), target_at=100.65, unary=False).attributes["headway.deadline.missed_at"] == "downlink_wait"


@pytest.mark.parametrize(("first_due_at", "stage"), [(0.0, None), (100.7, "downlink_wait"), (100.9, None)])
def test_a_streams_first_message_is_due_when_the_proxy_said_or_by_its_arrival(
    first_due_at: float, stage: str | None
) -> None:
    times = answered()
    times.first_due_at = first_due_at
    span = told(times, target_at=100.8, unary=False)
    assert span.attributes.get("headway.deadline.missed_at") == stage
