"""What became of one call's deadline at the proxy: its stages, what was left, and where it was lost."""

from __future__ import annotations

from typing import NamedTuple

from policies.traffic import NO_DEADLINE
from proxy.errors import Code
from proxy.telemetry import names
from proxy.telemetry.span_record import TIMER_SLOP_S
from proxy.telemetry.stages import (
    DELIVERY,
    DOWNLINK_TRANSFER,
    DOWNLINK_WAIT,
    TOKEN,
    Stage,
    StageReport,
    missed_at,
    stages_at_proxy,
)
from proxy.telemetry.streamed_answer import StreamedAnswer
from proxy.telemetry.tracing import CallSpan
from proxy.tunnel.exchange import CallHead, CallTimes

INDEXES_TOLD = 16
"""Late messages whose places a span tells."""
_AFTER_DAEMON = frozenset({"", DOWNLINK_WAIT, DOWNLINK_TRANSFER, DELIVERY})
_NO_TIMES = CallTimes()


class Account(NamedTuple):
    """One call's."""

    stages: list[Stage]
    due_at: float
    """When the answer, or the first message of it, was due."""
    slack_s: float
    """What was left then; of an answer with many messages, of the tightest of them. Negative is a miss."""
    missed_at: str
    """The stage in which the deadline ran out, `token` where it was a later message's; empty for none."""


def account_for(head: CallHead, code: int, *, at: float, answer: StreamedAnswer | None = None) -> Account:
    """The account of a call that ends `at` with this status. `answer` is that of a call that is not unary.

    CANCELLED at the gRPC deadline is a miss, as is DEADLINE_EXCEEDED, whoever says so, where the call has a deadline.
    """
    times, due_at, slack_s = head.times or _NO_TIMES, head.deadline.target_at, head.deadline.target_at - at
    lost_token = False
    if answer is not None:
        due_at = answer.first_due_at
        slack_s = due_at - at
        if answer.first_message_at is not None:
            at = answer.first_message_at
            slack_s = answer.least_slack_s
            lost_token = bool(answer.late) and answer.late[0] > 0
    stages = stages_at_proxy(times, began_at=head.accepted_at, at=at, unary=answer is None)
    if due_at == NO_DEADLINE:
        return Account(stages, due_at, slack_s, TOKEN if lost_token else "")
    missed = TOKEN if lost_token else missed_at(stages, due_at)
    if code == Code.DEADLINE_EXCEEDED and missed in _AFTER_DAEMON:
        missed = _before_answer(stages)
    elif code == Code.CANCELLED and not missed and at >= head.deadline.limit_at - TIMER_SLOP_S:
        missed = stages[-1][0]
    return Account(stages, due_at, slack_s, missed)


def tell(span: CallSpan, head: CallHead, account: Account, answer: StreamedAnswer | None = None) -> None:
    """Enter the account in the call's span, before that ends."""
    span.stages(StageReport(account.stages, head.accepted_at, account.due_at, proxy=True))
    if account.missed_at:
        span.set(names.MISSED_AT, account.missed_at)
    if answer is None or answer.first_message_at is None:
        return
    if account.slack_s != NO_DEADLINE:
        span.set(names.SLACK, round(account.slack_s * 1000, 3))
    span.set(names.TIME_TO_FIRST_TOKEN, round(answer.first_message_at - head.accepted_at, 6))
    span.set(names.MESSAGES, answer.messages)
    if answer.late:
        span.set(names.LATE_MESSAGES, len(answer.late))
        span.set(names.LATE_INDEXES, ", ".join(map(str, answer.late[:INDEXES_TOLD])))


def _before_answer(stages: list[Stage]) -> str:
    """Where the call was when somebody behind the proxy said that its time was up: in front of the way back."""
    before = [(name, ended_at) for name, ended_at in stages if name not in _AFTER_DAEMON]
    while len(before) > 1 and before[-1][1] == before[-2][1]:
        before.pop()  # it took no time: the model of a request that waited for it to the end
    return before[-1][0] if before else stages[-1][0]
