from __future__ import annotations

import dataclasses
import math

import pytest

from policies.traffic import NO_DEADLINE, Deadline, TrafficClass, call_deadline

REALTIME = TrafficClass("realtime", deadline_s=1.0)
ENDLESS = TrafficClass("endless", deadline_s=math.inf)


@pytest.mark.parametrize(
    ("traffic_class", "asked_s", "limit_s", "target_at", "limit_at"),
    [
        (REALTIME, None, None, 101.0, math.inf),
        (REALTIME, 0.25, None, 100.25, math.inf),
        (REALTIME, 5.0, None, 105.0, math.inf),
        (REALTIME, None, 3.0, 101.0, 103.0),
        (REALTIME, None, 0.5, 100.5, 100.5),
        (REALTIME, 5.0, 3.0, 103.0, 103.0),
        (REALTIME, 0.25, 3.0, 100.25, 103.0),
        (REALTIME, None, 0.0, 100.0, 100.0),
        (REALTIME, None, -2.0, 98.0, 98.0),
        (ENDLESS, None, None, math.inf, math.inf),
        (ENDLESS, 0.25, None, 100.25, math.inf),
        (ENDLESS, None, 3.0, 103.0, 103.0),
    ],
    ids=[
        "the class's",
        "asked for less",
        "asked for more",
        "gRPC's is longer",
        "gRPC's caps the class's",
        "gRPC's caps what was asked for",
        "asked for less than both",
        "none left",
        "passed",
        "none",
        "asked for one",
        "gRPC's alone",
    ],
)
def test_what_bears_on_a_call_s_deadline(
    traffic_class: TrafficClass, asked_s: float | None, limit_s: float | None, target_at: float, limit_at: float
) -> None:
    deadline = call_deadline(traffic_class, now=100.0, asked_s=asked_s, limit_s=limit_s)
    assert deadline == Deadline(target_at, limit_at)


def test_slack_is_what_is_left_of_the_target() -> None:
    assert Deadline(101.0, 105.0).slack_s(now=100.25) == 0.75
    assert Deadline(101.0, 105.0).slack_s(now=102.0) == -1.0
    assert Deadline().slack_s(now=1e9) == math.inf


def test_the_same_instants_on_another_clock() -> None:
    assert Deadline(101.0, 105.0).shifted(-50.0) == Deadline(51.0, 55.0)
    assert Deadline().shifted(1e6) == Deadline()


def test_no_deadline_is_later_than_every_one() -> None:
    assert NO_DEADLINE > 1e300
    assert Deadline() == Deadline(math.inf, math.inf)


def test_a_class_has_no_token_deadline_and_delivers_late_answers_unless_it_says_otherwise() -> None:
    assert dataclasses.asdict(REALTIME) == {
        "name": "realtime",
        "deadline_s": 1.0,
        "token_deadline_s": math.inf,
        "priority": 0,
        "level": "low",
        "weight": 1.0,
        "on_miss": "deliver",
    }
