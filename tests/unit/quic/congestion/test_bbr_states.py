"""How fast BBR sends in each state."""

from __future__ import annotations

import pytest

from proxy.quic.congestion.bbr_states import CWND_GAIN, PACING_GAIN, State, cwnd_gain, pacing_gain


@pytest.mark.parametrize("state", list(State))
def test_a_queue_that_is_others_changes_nothing(state: State) -> None:
    assert pacing_gain(state, alone=False, queue_s=0.1, rtt_s=0.1) == PACING_GAIN[state]
    assert cwnd_gain(state, alone=False) == CWND_GAIN[state]


@pytest.mark.parametrize(("queue_s", "gain"), [(0.0, 1.0), (0.003, 1.0), (0.013, 0.95), (0.023, 0.9), (0.2, 0.9)])
def test_our_own_queue_makes_cruising_slower_by_a_tenth_at_most(queue_s: float, gain: float) -> None:
    assert pacing_gain(State.CRUISE, alone=True, queue_s=queue_s, rtt_s=0.1) == pytest.approx(gain)


def test_alone_a_probe_s_queue_is_drained_in_as_long_as_it_took() -> None:
    assert pacing_gain(State.UP, alone=True, queue_s=0.1, rtt_s=0.1) == 1.25
    assert pacing_gain(State.DOWN, alone=True, queue_s=0.1, rtt_s=0.1) == 0.75
    assert pacing_gain(State.DOWN, alone=False, queue_s=0.1, rtt_s=0.1) == 0.9


def test_alone_a_probe_fills_little_of_the_queue_and_one_of_the_round_trip_leaves_most_in_flight() -> None:
    assert cwnd_gain(State.UP, alone=True) == 1.15
    assert cwnd_gain(State.PROBE_RTT, alone=True) == 0.75
    assert cwnd_gain(State.CRUISE, alone=True) == CWND_GAIN[State.CRUISE]
