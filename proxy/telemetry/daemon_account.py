"""What the daemon tells of one call's deadline, by its own knowledge, when the answer has left it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from policies.traffic import NO_DEADLINE
from proxy.errors import Code
from proxy.telemetry import names
from proxy.telemetry.span_record import TIMER_SLOP_S
from proxy.telemetry.stages import StageReport, missed_at, stages_at_daemon
from proxy.telemetry.tracing import CallSpan
from proxy.tunnel.exchange import CallHead, CallStatus, CallTimes


def conclude_at_daemon(
    span: CallSpan, head: CallHead, times: CallTimes, status: CallStatus, now: Callable[[], float]
) -> None:
    """Finish the call's span, when its last byte has left or it is known that it never will.

    The deadline counts as missed when the answer can't be with the proxy in time by the shortest way. Of an answer with
    many messages that is the first one, due when the proxy said, or else as long after the request's first message as
    the call's deadline is after its arrival; the proxy sees to the others.
    """
    ended_at = times.last_left_at or now()
    due_at, at = head.deadline.target_at, ended_at
    if not head.unary:
        if times.first_due_at:
            due_at = times.first_due_at
        elif times.received_at:
            due_at += times.received_at - head.accepted_at
        at = times.first_left_at or ended_at
    passed = status.code == Code.DEADLINE_EXCEEDED or (
        status.code == Code.CANCELLED and ended_at >= head.deadline.limit_at - TIMER_SLOP_S
    )
    missed = due_at != NO_DEADLINE and (passed or at + times.least_way_s > due_at)
    if missed or span.recording:
        stages = partial(stages_at_daemon, times, began_at=head.accepted_at, at=at)
        span.stages(StageReport(stages, head.accepted_at, due_at, proxy=False))
        if missed:
            known = stages()
            before_answer = known if not times.answered_at else known[:-1]
            span.set(names.MISSED_AT, missed_at(known, due_at) or before_answer[-1][0])
    span.finish(status, at=ended_at)
