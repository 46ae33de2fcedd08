"""Where the time of one call went: its stages, one after the other, and in which of them its deadline ran out.

| stage | until |
| --- | --- |
| `receive` | the request's first message is complete at the proxy |
| `uplink_wait` | its first byte is sent into the tunnel |
| `uplink_transfer` | its last byte is at the daemon |
| `daemon_queue` | the policy is asked, or, for a call that is not routed, the backend is |
| `policy` | it has decided |
| `model_queue` | the model begins on the request |
| `model_compute` | the answer's first message is at the daemon |
| `backend` | likewise; stands for both, where nothing tells when the model began |
| `downlink_wait` | the answer's first byte is sent into the tunnel |
| `downlink_transfer` | its last byte is at the proxy |
| `delivery` | it is handed to the client's connection |

Times are the proxy's. The daemon's are brought to its clock by the offset that the control call measured, which can
be wrong by half the difference between the two ways' delays; the call itself bounds it, since nothing arrives before it
was sent. When the answer's first byte left the daemon is taken to be the shortest known way before it came: what waits
in a queue of the network counts as waiting. When the model began is what the daemon's forecast believes; the spans of
Triton in the same trace have it exactly. gRPC tells of a unary call when its message is complete, so that its
`receive` is nothing. Over the TCP tunnel, `uplink_transfer` and `downlink_transfer` have what waits in gRPC and in the
kernel, too. Of several attempts at a model, all but the last one count as its queue.

A stage whose end nobody knows is part of the one that follows. What the proxy was told nothing of is `remote`: all
between the request's first byte out and the answer's first byte in. So it is for a call that was given up meanwhile;
the daemon's span then has the stage. Of an answer with many messages, these are the stages of the first.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from proxy.telemetry import names
from proxy.telemetry.tracing import CallSpan
from proxy.tunnel.exchange import CallTimes, FarTimes

RECEIVE = "receive"
UPLINK_WAIT = "uplink_wait"
UPLINK_TRANSFER = "uplink_transfer"
DAEMON_QUEUE = "daemon_queue"
POLICY = "policy"
MODEL_QUEUE = "model_queue"
MODEL_COMPUTE = "model_compute"
BACKEND = "backend"
REMOTE = "remote"
DOWNLINK_WAIT = "downlink_wait"
DOWNLINK_TRANSFER = "downlink_transfer"
DELIVERY = "delivery"
STAGES = (
    RECEIVE,
    UPLINK_WAIT,
    UPLINK_TRANSFER,
    DAEMON_QUEUE,
    POLICY,
    MODEL_QUEUE,
    MODEL_COMPUTE,
    BACKEND,
    REMOTE,
    DOWNLINK_WAIT,
    DOWNLINK_TRANSFER,
    DELIVERY,
)
"""In the order in which a call passes them. `backend` and `remote` stand for several."""
TOKEN = "token"  # noqa: S105 -- no password
"""Where a later message of an answer missed the deadline of its own: no stage, but a place to lose a deadline."""

_ATTRIBUTES = {stage: names.STAGE_MS.format(stage) for stage in STAGES}
_AT_PROXY = frozenset({RECEIVE, UPLINK_WAIT, DOWNLINK_TRANSFER, DELIVERY})
"""The stages that end there."""


class Stage(NamedTuple):
    """One stage of a call; it began when the one before ended, the first one when the call did."""

    name: str
    ended_at: float


class _Way:
    """Stages, put one after the other: none ends before the one in front of it, nor after `at`."""

    def __init__(self, began_at: float, at: float) -> None:
        self.stages: list[Stage] = []
        self._last_at = began_at
        self._at = max(at, began_at)

    def to(self, name: str, ended_at: float) -> None:
        self._last_at = ended_at = min(max(ended_at, self._last_at), self._at)
        self.stages.append(Stage(name, ended_at))

    def to_end(self, name: str) -> list[Stage]:
        self.stages.append(Stage(name, self._at))
        return self.stages


def stages_at_proxy(times: CallTimes, *, began_at: float, at: float, unary: bool) -> list[Stage]:
    """The stages of a call that began at `began_at`, and whose first answer was handed on, or which was ended, `at`.

    A `unary` call's answer is complete when its status is there.
    """
    way = _Way(began_at, at)
    if not times.received_at:
        return way.to_end(RECEIVE)
    way.to(RECEIVE, times.received_at)
    if times.sent_at:
        way.to(UPLINK_WAIT, times.sent_at)
    elif not times.answered_at:
        return way.to_end(UPLINK_WAIT)
    answered_at = times.ended_at if unary else times.answered_at
    far = _on_our_clock(times)
    if not answered_at or far is None:
        if times.answer_began_at:
            way.to(REMOTE, times.answer_began_at)
        elif not answered_at:
            return way.to_end(UPLINK_TRANSFER if times.unacknowledged else REMOTE)
        else:
            way.to(REMOTE, answered_at)
            return way.to_end(DELIVERY)
    else:
        way.to(UPLINK_TRANSFER, far.received_at)
        _at_daemon(way, far)
        if times.answer_began_at:
            way.to(DOWNLINK_WAIT, max(far.answered_at, times.answer_began_at - times.least_way_s))
    if not answered_at:
        return way.to_end(DOWNLINK_TRANSFER)
    way.to(DOWNLINK_TRANSFER, answered_at)
    return way.to_end(DELIVERY)


def stages_at_daemon(times: CallTimes, *, began_at: float, at: float) -> list[Stage]:
    """The stages that the daemon knows, of a call that reached it at `began_at` and left it, or was ended, `at`.

    What is left of the way back is the last.
    """
    way = _Way(began_at, at + times.least_way_s)
    if not times.received_at:
        return way.to_end(UPLINK_TRANSFER)
    way.to(UPLINK_TRANSFER, times.received_at)
    if times.answered_at:
        known = FarTimes(
            times.received_at,
            times.asked_at or None,
            times.decided_at or None,
            times.sent_at or None,
            times.begun_at if times.begun_at and times.begun_at != math.inf else None,
            times.answered_at,
        )
        _at_daemon(way, known)
        if not times.first_left_at:
            return way.to_end(DOWNLINK_WAIT)
        way.to(DOWNLINK_WAIT, times.first_left_at)
        return way.to_end(DOWNLINK_TRANSFER)
    return way.to_end(_without_answer(way, times))


def _without_answer(way: _Way, times: CallTimes) -> str:
    """Adds the stages that are over of a call that waits for its answer at the daemon; returns the present one."""
    if not (times.asked_at or times.sent_at):
        return DAEMON_QUEUE
    way.to(DAEMON_QUEUE, times.asked_at or times.sent_at)
    if times.asked_at:
        if not times.sent_at:
            return POLICY
        way.to(POLICY, times.decided_at)
    if not times.begun_at:
        return BACKEND
    if times.begun_at == math.inf:
        return MODEL_QUEUE
    way.to(MODEL_QUEUE, times.begun_at)
    return MODEL_COMPUTE


def missed_at(stages: list[Stage], due_at: float) -> str:
    """The stage in which it got later than `due_at`; empty if that is in none of them."""
    for stage in stages:
        if stage.ended_at > due_at:
            return stage.name
    return ""


def note_durations(span: CallSpan, stages: list[Stage], *, began_at: float) -> None:
    """Tell how long each stage took."""
    since = began_at
    for name, ended_at in stages:
        span.set(_ATTRIBUTES[name], _ms(ended_at - since))
        since = ended_at


def note_ends(span: CallSpan, stages: list[Stage], *, due_at: float, proxy: bool) -> None:
    """Tell when each stage ended that ends in this process, and what was left of the deadline then."""
    for name, ended_at in stages:
        if (name in _AT_PROXY) is proxy:
            left = None if due_at == math.inf else {names.SLACK: _ms(due_at - ended_at)}
            span.event(name, at=ended_at, attributes=left)


def _at_daemon(way: _Way, far: FarTimes) -> None:
    """From the request's arrival to the answer, which both are known."""
    if far.asked_at is not None:
        way.to(DAEMON_QUEUE, far.asked_at)
        way.to(POLICY, far.answered_at if far.sent_at is None or far.decided_at is None else far.decided_at)
    else:
        way.to(DAEMON_QUEUE, far.answered_at if far.sent_at is None else far.sent_at)
    if far.sent_at is None:
        return
    if far.begun_at is None:
        way.to(BACKEND, far.answered_at)
    else:
        way.to(MODEL_QUEUE, far.begun_at)
        way.to(MODEL_COMPUTE, far.answered_at)


def _on_our_clock(times: CallTimes) -> FarTimes | None:
    """What the daemon told, in our time."""
    far = times.far
    if far is None:
        return None
    least_s = far.answered_at - (times.answer_began_at or times.answered_at)
    most_s = far.received_at - (times.sent_at or times.received_at)
    ahead_s = (least_s + most_s) / 2 if times.far_ahead_s is None else times.far_ahead_s
    if least_s <= most_s:
        ahead_s = min(max(ahead_s, least_s), most_s)
    return FarTimes(
        far.received_at - ahead_s,
        None if far.asked_at is None else far.asked_at - ahead_s,
        None if far.decided_at is None else far.decided_at - ahead_s,
        None if far.sent_at is None else far.sent_at - ahead_s,
        None if far.begun_at is None else far.begun_at - ahead_s,
        far.answered_at - ahead_s,
    )


def _ms(seconds: float) -> float:
    return round(seconds * 1000.0, 3)
