"""BBR's states, and how fast and with how much in flight it sends in each.

Source: draft-ietf-ccwg-bbr-05, section 5.6.1; the ADR "BBR" numbers what differs.
"""

from __future__ import annotations

import enum

ALONE_DOWN_GAIN = 0.75
"""What one round trip of `UP` has put into the queue leaves it in one (as in BBRv1's cycle, and in BBRv2's)."""
CRUISE_SLACK_S = 0.003
CRUISE_SLOPE = 0.5
CRUISE_FLOOR = 0.9
"""`CRUISE` of a flow that is alone is slower by half the share of the round trip that stands in the queue, by a tenth
at most. Acknowledgements that come closer together than the path delivers make the largest sample up to 7 % too large
(both directions full), and a queue would grow by that."""


class State(enum.Enum):
    """Where the state machine is."""

    STARTUP = "startup"
    DRAIN = "drain"
    DOWN = "probe_down"
    CRUISE = "probe_cruise"
    REFILL = "probe_refill"
    UP = "probe_up"
    PROBE_RTT = "probe_rtt"

    __hash__ = object.__hash__


class AckPhase(enum.Enum):
    """What the acknowledgements that come in now are of (section 5.3.3.6)."""

    NONE = 0
    STOPPING = 1
    REFILLING = 2
    STARTING = 3
    FEEDBACK = 4


PACING_GAIN = {
    State.STARTUP: 2.77,
    State.DRAIN: 0.5,
    State.DOWN: 0.9,
    State.CRUISE: 1.0,
    State.REFILL: 1.0,
    State.UP: 1.25,
    State.PROBE_RTT: 1.0,
}
CWND_GAIN = dict.fromkeys(State, 2.0) | {State.UP: 2.25, State.PROBE_RTT: 0.5}
"""Section 5.6.1."""
ALONE_CWND_GAIN = {State.UP: 1.15, State.PROBE_RTT: 0.75}
"""`UP` of a flow that is alone puts this share of a round trip into the queue, however late it learns that it has: the
other direction's queue, in the same round trips, can hide ours, and requests wait behind it. A path that gives more is
found by as much a round. What stands in the queue being ours, `PROBE_RTT` need not make room for others' probes as
well: three quarters of what the path holds leave the queue empty, with a rate that is taken for a third too large."""
PROBE_BW = frozenset({State.DOWN, State.CRUISE, State.REFILL, State.UP})
STEADY = frozenset({State.DOWN, State.CRUISE})
ACCELERATING = frozenset({State.STARTUP, State.REFILL, State.UP})


def pacing_gain(state: State, *, alone: bool, queue_s: float, rtt_s: float) -> float:
    """By what the rate is multiplied.

    `alone`: what stands in the queue is ours. `queue_s` is how long all packets of this round have waited there,
    `rtt_s` the round trip without it.
    """
    if alone and state is State.DOWN:
        return ALONE_DOWN_GAIN
    gain = PACING_GAIN[state]
    if alone and state is State.CRUISE:
        gain = max(gain - CRUISE_SLOPE * max(queue_s - CRUISE_SLACK_S, 0.0) / rtt_s, CRUISE_FLOOR)
    return gain


def cwnd_gain(state: State, *, alone: bool) -> float:
    """How many times what the path holds may be in flight. `alone`: what stands in the queue is ours."""
    return ALONE_CWND_GAIN.get(state, CWND_GAIN[state]) if alone else CWND_GAIN[state]
