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
from collections.abc import Callable, Sequence
from typing import NamedTuple

from proxy.telemetry import names
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

Stage = tuple[str, float]
"""Name of one stage of a call, and when it ended; it began when the one before ended, the first one when the call did.
"""


class StageReport(NamedTuple):
    """What a span is told of its call's stages. Put together by whoever exports the span, in another thread."""

    stages: Sequence[Stage] | Callable[[], Sequence[Stage]]
    """Or what works them out, once the call is over."""
    began_at: float
    due_at: float
    """When the answer was due; infinite for never."""
    proxy: bool
    """Which of the two processes the span is of. The proxy knows all stages; each tells the ends of its own."""

    def known(self) -> Sequence[Stage]:
        """The stages."""
        return self.stages() if callable(self.stages) else self.stages

    def durations(self, stages: Sequence[Stage]) -> list[tuple[str, float]]:
        """The attributes that tell how long each stage took, milliseconds; none in the daemon."""
        told: list[tuple[str, float]] = []
        if self.proxy:
            since = self.began_at
            for name, ended_at in stages:
                told.append((_ATTRIBUTES[name], (ended_at - since) * 1000.0))
                since = ended_at
        return told

    def ends(self, stages: Sequence[Stage]) -> list[tuple[str, float, float | None]]:
        """The events: each stage that ends in this process, when, and the milliseconds left of the deadline then."""
        proxy, due_at = self.proxy, self.due_at
        endless = due_at == math.inf
        return [
            (name, ended_at, None if endless else (due_at - ended_at) * 1000.0)
            for name, ended_at in stages
            if (name in _AT_PROXY) is proxy
        ]


def stages_at_proxy(times: CallTimes, *, began_at: float, at: float, unary: bool) -> list[Stage]:
    """The stages of a call that began at `began_at`, and whose first answer was handed on, or which was ended, `at`.

    A `unary` call's answer is complete when its status is there.
    """
    return _in_order(_seen_by_proxy(times, unary=unary), began_at, at)


def stages_at_daemon(times: CallTimes, *, began_at: float, at: float) -> list[Stage]:
    """The stages that the daemon knows, of a call that reached it at `began_at` and left it, or was ended, `at`.

    What is left of the way back is the last.
    """
    return _in_order(_seen_by_daemon(times), began_at, at + times.least_way_s)


def missed_at(stages: Sequence[Stage], due_at: float) -> str:
    """The stage in which it got later than `due_at`; empty if that is in none of them."""
    for name, ended_at in stages:
        if ended_at > due_at:
            return name
    return ""


_TO_THE_END = math.inf


def _in_order(stages: list[Stage], began_at: float, at: float) -> list[Stage]:
    """The stages one after the other: none ends before the one in front of it, nor after `at`."""
    last_at = began_at
    at = max(at, began_at)
    ordered: list[Stage] = []
    for name, ended_at in stages:
        if ended_at > last_at:
            last_at = min(ended_at, at)
        ordered.append((name, last_at))
    return ordered


def _seen_by_proxy(times: CallTimes, *, unary: bool) -> list[Stage]:
    if not times.received_at:
        return [(RECEIVE, _TO_THE_END)]
    stages: list[Stage] = [(RECEIVE, times.received_at)]
    if times.sent_at:
        stages.append((UPLINK_WAIT, times.sent_at))
    elif not times.answered_at:
        stages.append((UPLINK_WAIT, _TO_THE_END))
        return stages
    answered_at = times.ended_at if unary else times.answered_at
    far = times.far
    if not answered_at or far is None:
        if times.answer_began_at:
            stages.append((REMOTE, times.answer_began_at))
        elif not answered_at:
            stages.append((UPLINK_TRANSFER if times.unacknowledged else REMOTE, _TO_THE_END))
            return stages
        else:
            stages.append((REMOTE, answered_at))
            stages.append((DELIVERY, _TO_THE_END))
            return stages
    else:
        ahead_s = _far_ahead_s(times, far)
        stages.append((UPLINK_TRANSFER, far.received_at - ahead_s))
        _at_daemon(stages, far, ahead_s)
        if times.answer_began_at:
            left_at = times.answer_began_at - times.least_way_s
            stages.append((DOWNLINK_WAIT, max(far.answered_at - ahead_s, left_at)))
    if not answered_at:
        stages.append((DOWNLINK_TRANSFER, _TO_THE_END))
        return stages
    stages.append((DOWNLINK_TRANSFER, answered_at))
    stages.append((DELIVERY, _TO_THE_END))
    return stages


def _seen_by_daemon(times: CallTimes) -> list[Stage]:
    if not times.received_at:
        return [(UPLINK_TRANSFER, _TO_THE_END)]
    stages: list[Stage] = [(UPLINK_TRANSFER, times.received_at)]
    if not times.answered_at:
        _without_answer(stages, times)
        return stages
    known = FarTimes(
        times.received_at,
        times.asked_at or None,
        times.decided_at or None,
        times.sent_at or None,
        times.begun_at if times.begun_at and times.begun_at != math.inf else None,
        times.answered_at,
    )
    _at_daemon(stages, known, 0.0)
    if times.first_left_at:
        stages.append((DOWNLINK_WAIT, times.first_left_at))
        stages.append((DOWNLINK_TRANSFER, _TO_THE_END))
    else:
        stages.append((DOWNLINK_WAIT, _TO_THE_END))
    return stages


def _without_answer(stages: list[Stage], times: CallTimes) -> None:
    """Add the stages of a call that waits for its answer at the daemon, the present one last."""
    if not (times.asked_at or times.sent_at):
        stages.append((DAEMON_QUEUE, _TO_THE_END))
        return
    stages.append((DAEMON_QUEUE, times.asked_at or times.sent_at))
    if times.asked_at:
        if not times.sent_at:
            stages.append((POLICY, _TO_THE_END))
            return
        stages.append((POLICY, times.decided_at))
    if not times.begun_at:
        stages.append((BACKEND, _TO_THE_END))
    elif times.begun_at == math.inf:
        stages.append((MODEL_QUEUE, _TO_THE_END))
    else:
        stages.append((MODEL_QUEUE, times.begun_at))
        stages.append((MODEL_COMPUTE, _TO_THE_END))


def _at_daemon(stages: list[Stage], far: FarTimes, ahead_s: float) -> None:
    """Add what lies between the request's arrival and the answer, which both are known."""
    answered_at = far.answered_at - ahead_s
    sent_at = answered_at if far.sent_at is None else far.sent_at - ahead_s
    if far.asked_at is None:
        stages.append((DAEMON_QUEUE, sent_at))
    else:
        stages.append((DAEMON_QUEUE, far.asked_at - ahead_s))
        decided_at = answered_at if far.sent_at is None or far.decided_at is None else far.decided_at - ahead_s
        stages.append((POLICY, decided_at))
    if far.sent_at is None:
        return
    if far.begun_at is None:
        stages.append((BACKEND, answered_at))
    else:
        stages.append((MODEL_QUEUE, far.begun_at - ahead_s))
        stages.append((MODEL_COMPUTE, answered_at))


def _far_ahead_s(times: CallTimes, far: FarTimes) -> float:
    """How far the daemon's clock is ahead of ours: as measured, within what the call itself allows."""
    least_s = far.answered_at - (times.answer_began_at or times.answered_at)
    most_s = far.received_at - (times.sent_at or times.received_at)
    ahead_s = times.far_ahead_s
    if ahead_s is None:
        return (least_s + most_s) / 2
    return min(max(ahead_s, least_s), most_s) if least_s <= most_s else ahead_s
