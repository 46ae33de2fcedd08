from __future__ import annotations

import math

import pytest

from proxy.telemetry.stages import (
    STAGES,
    Stage,
    StageReport,
    missed_at,
    stages_at_daemon,
    stages_at_proxy,
)
from proxy.tunnel.exchange import CallTimes, FarTimes

AHEAD_S = 5000.0
"""Of the daemon's clock."""


def routed() -> CallTimes:
    """A call that came at 100.0: each stage takes 0.1 s longer than the one before, the first one none."""
    times = CallTimes()
    times.received_at = 100.0
    times.sent_at = 100.1
    times.far = FarTimes(
        AHEAD_S + 100.3, AHEAD_S + 100.6, AHEAD_S + 101.0, AHEAD_S + 101.0, AHEAD_S + 101.5, AHEAD_S + 102.1
    )
    times.far_ahead_s = AHEAD_S
    times.least_way_s = 0.05
    times.answer_began_at = 102.85
    times.answered_at = times.ended_at = 103.6
    return times


def durations(stages: list[Stage], began_at: float = 100.0) -> dict[str, float]:
    since, found = began_at, {}
    for name, ended_at in stages:
        found[name] = round(ended_at - since, 6)
        since = ended_at
    return found


def at_proxy(times: CallTimes, at: float = 104.5, *, unary: bool = True) -> dict[str, float]:
    return durations(stages_at_proxy(times, began_at=100.0, at=at, unary=unary))


class TestAtTheProxy:
    def test_the_stages_follow_each_other_and_add_up(self) -> None:
        found = at_proxy(routed())
        assert found == {
            "receive": 0.0,
            "uplink_wait": 0.1,
            "uplink_transfer": 0.2,
            "daemon_queue": 0.3,
            "policy": 0.4,
            "model_queue": 0.5,
            "model_compute": 0.6,
            "downlink_wait": 0.7,
            "downlink_transfer": 0.8,
            "delivery": 0.9,
        }
        assert [name for name in STAGES if name in found] == list(found)
        assert sum(found.values()) == pytest.approx(4.5)

    def test_where_nothing_tells_when_the_model_began_its_time_is_one_stage(self) -> None:
        times = routed()
        assert times.far is not None
        times.far = times.far._replace(begun_at=None)
        found = at_proxy(times)
        assert found["backend"] == 1.1
        assert not {"model_queue", "model_compute"} & found.keys()

    def test_a_call_that_is_not_routed_has_no_policy(self) -> None:
        times = routed()
        assert times.far is not None
        times.far = times.far._replace(asked_at=None, decided_at=None, begun_at=None)
        found = at_proxy(times)
        assert (found["daemon_queue"], found["backend"]) == (0.7, 1.1)
        assert "policy" not in found

    def test_a_call_that_is_shed_ends_with_its_policy(self) -> None:
        times = routed()
        assert times.far is not None
        times.far = times.far._replace(sent_at=None, begun_at=None)
        found = at_proxy(times)
        assert found["policy"] == 1.5
        assert "backend" not in found

    def test_a_call_that_the_daemon_refuses_ends_in_its_queue(self) -> None:
        times = routed()
        assert times.far is not None
        times.far = FarTimes(times.far.received_at, None, None, None, None, times.far.answered_at)
        assert at_proxy(times)["daemon_queue"] == 1.8

    def test_the_answer_to_a_unary_call_is_complete_with_its_status_that_of_a_stream_with_its_message(self) -> None:
        times = routed()
        times.ended_at = 104.0
        assert at_proxy(times)["downlink_transfer"] == 1.2
        assert at_proxy(times, 103.7, unary=False)["downlink_transfer"] == 0.8

    def test_an_answer_is_not_sent_before_it_is_there(self) -> None:
        times = routed()
        times.least_way_s = 10.0
        found = at_proxy(times)
        assert found["downlink_wait"] == 0.0
        assert found["downlink_transfer"] == 1.5


class TestClocks:
    @pytest.mark.parametrize("wrong_s", [-1.0, -0.3, 0.3, 1.0, 100.0])
    def test_the_call_itself_bounds_the_offset(self, wrong_s: float) -> None:
        times = routed()
        times.far_ahead_s = AHEAD_S + wrong_s
        found = at_proxy(times)
        assert min(found.values()) >= 0
        assert sum(found.values()) == pytest.approx(4.5)
        assert (found["daemon_queue"], found["model_compute"]) == (0.3, 0.6)

    def test_without_an_offset_the_daemon_is_in_the_middle(self) -> None:
        times = routed()
        times.far_ahead_s = None
        found = at_proxy(times)
        # Of 2.75 s from the first byte out to the first one in the daemon had 1.8.
        assert found["uplink_transfer"] == pytest.approx(0.475)
        assert found["downlink_wait"] == pytest.approx(0.425)

    def test_times_that_can_t_be_keep_the_order_and_the_sum(self) -> None:
        times = routed()
        assert times.far is not None
        times.far = times.far._replace(answered_at=AHEAD_S + 200, begun_at=AHEAD_S - 50)
        found = at_proxy(times)
        assert min(found.values()) >= 0
        assert sum(found.values()) == pytest.approx(4.5)


class TestWithoutAnAnswer:
    def test_before_the_request_is_there(self) -> None:
        assert at_proxy(CallTimes(), 101.0) == {"receive": 1.0}

    def test_before_it_is_sent(self) -> None:
        times = CallTimes()
        times.received_at = 100.5
        assert at_proxy(times, 101.0) == {"receive": 0.5, "uplink_wait": 0.5}

    @pytest.mark.parametrize(("unacknowledged", "stage"), [(True, "uplink_transfer"), (False, "remote")])
    def test_on_its_way(self, unacknowledged: bool, stage: str) -> None:
        times = CallTimes()
        times.received_at = times.sent_at = 100.5
        times.unacknowledged = unacknowledged
        assert at_proxy(times, 101.0) == {"receive": 0.5, "uplink_wait": 0.0, stage: 0.5}

    def test_while_the_answer_arrives(self) -> None:
        times = CallTimes()
        times.received_at = times.sent_at = 100.5
        times.answer_began_at = 100.75
        found = at_proxy(times, 101.0)
        assert found == {"receive": 0.5, "uplink_wait": 0.0, "remote": 0.25, "downlink_transfer": 0.25}

    def test_what_a_daemon_without_word_of_its_times_took_is_remote(self) -> None:
        times = routed()
        times.far = None
        assert at_proxy(times) == {
            "receive": 0.0,
            "uplink_wait": 0.1,
            "remote": 2.75,
            "downlink_transfer": 0.75,
            "delivery": 0.9,
        }

    def test_a_carrier_that_notes_nothing_but_the_answer(self) -> None:
        times = CallTimes()
        times.received_at = 100.0
        times.answered_at = times.ended_at = 100.5
        assert at_proxy(times, 101.0) == {"receive": 0.0, "remote": 0.5, "delivery": 0.5}


def test_the_tcp_tunnel_does_not_tell_waiting_from_transfer() -> None:
    times = routed()
    times.answer_began_at = 0.0
    found = at_proxy(times)
    assert "downlink_wait" not in found
    assert found["downlink_transfer"] == 1.5


class TestAtTheDaemon:
    def call(self) -> CallTimes:
        times = CallTimes()
        times.received_at, times.asked_at, times.decided_at, times.sent_at = 100.1, 100.3, 100.6, 100.6
        times.begun_at, times.answered_at, times.first_left_at = 101.0, 101.5, 102.1
        times.least_way_s = 0.05
        return times

    def stages(self, times: CallTimes, at: float = 102.8) -> dict[str, float]:
        return durations(stages_at_daemon(times, began_at=100.0, at=at))

    def test_the_stages_follow_each_other_and_the_way_back_is_the_last(self) -> None:
        assert self.stages(self.call()) == {
            "uplink_transfer": 0.1,
            "daemon_queue": 0.2,
            "policy": 0.3,
            "model_queue": 0.4,
            "model_compute": 0.5,
            "downlink_wait": 0.6,
            "downlink_transfer": 0.75,
        }

    def test_an_answer_that_never_left(self) -> None:
        times = self.call()
        times.first_left_at = 0.0
        assert list(self.stages(times))[-1] == "downlink_wait"

    @pytest.mark.parametrize(
        ("noted", "stage"),
        [
            ({"received_at": 0.0}, "uplink_transfer"),
            ({"asked_at": 0.0, "sent_at": 0.0}, "daemon_queue"),
            ({"sent_at": 0.0}, "policy"),
            ({"begun_at": 0.0}, "backend"),
            ({"asked_at": 0.0, "begun_at": 0.0}, "backend"),
            ({"begun_at": math.inf}, "model_queue"),
            ({}, "model_compute"),
        ],
    )
    def test_a_call_that_ends_without_an_answer_is_where_it_got_to(self, noted: dict[str, float], stage: str) -> None:
        times = self.call()
        times.answered_at = times.first_left_at = 0.0
        for name, at in noted.items():
            setattr(times, name, at)
        assert list(self.stages(times))[-1] == stage


@pytest.mark.parametrize(
    ("due_at", "stage"),
    [
        (99.0, "receive"),
        (100.05, "uplink_wait"),
        (100.2, "uplink_transfer"),
        (101.2, "model_queue"),
        (102.0, "model_compute"),
        (103.0, "downlink_transfer"),
        (104.4, "delivery"),
        (104.5, ""),
        (math.inf, ""),
    ],
)
def test_a_deadline_is_lost_where_it_passes(due_at: float, stage: str) -> None:
    assert missed_at(stages_at_proxy(routed(), began_at=100.0, at=104.5, unary=True), due_at) == stage


class TestTold:
    stages = (("receive", 100.25), ("uplink_wait", 100.75), ("uplink_transfer", 101.5))

    def report(self, *, due_at: float = 101.0, proxy: bool = True) -> StageReport:
        return StageReport(self.stages, 100.0, due_at, proxy=proxy)

    def test_durations_are_attributes_of_the_proxys_span(self) -> None:
        assert self.report().durations(self.stages) == [
            ("headway.stage.receive_ms", 250.0),
            ("headway.stage.uplink_wait_ms", 500.0),
            ("headway.stage.uplink_transfer_ms", 750.0),
        ]
        assert self.report(proxy=False).durations(self.stages) == []

    @pytest.mark.parametrize(
        ("proxy", "ends"),
        [
            (True, [("receive", 100.25, 750.0), ("uplink_wait", 100.75, 250.0)]),
            (False, [("uplink_transfer", 101.5, -500.0)]),
        ],
    )
    def test_ends_are_events_of_the_process_where_they_are(
        self, proxy: bool, ends: list[tuple[str, float, float]]
    ) -> None:
        assert self.report(proxy=proxy).ends(self.stages) == ends

    def test_without_a_deadline_nothing_is_left_of_it(self) -> None:
        report = self.report(due_at=math.inf)
        assert report.ends(self.stages) == [("receive", 100.25, None), ("uplink_wait", 100.75, None)]

    def test_stages_may_be_worked_out_later(self) -> None:
        assert self.report().known() == self.stages
        assert StageReport(lambda: self.stages, 100.0, 101.0, proxy=False).known() == self.stages
