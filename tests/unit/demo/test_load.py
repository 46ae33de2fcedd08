import asyncio
import math
import random

import pytest

from proxy.clock import MonotonicClock
from proxy.demo.load import CLASSES, PROMPTS, Answer, Arrival, ClassLoad, ClassTally, arrivals, new_tallies, send_load

FAST = ClassLoad("realtime", deadline_s=1.0, rate_hz=100.0, tokens=16)
SLOW = ClassLoad("bulk", deadline_s=7.0, rate_hz=10.0, tokens=160)


def test_a_tally_counts_what_came_back() -> None:
    tally = ClassTally(FAST)
    tally.add(Answer(model="small"), 0.25)
    tally.add(Answer(model="large"), 1.0)
    tally.add(Answer(model="small"), 1.001)
    tally.add(Answer(error="[StatusCode.UNAVAILABLE] gone"), 0.001)
    assert (tally.answered, tally.on_time) == (3, 2)
    assert tally.models == {"small": 2, "large": 1}
    assert tally.errors == {"[StatusCode.UNAVAILABLE] gone": 1}


def test_latencies_are_nearest_ranks() -> None:
    tally = ClassTally(FAST)
    assert math.isnan(tally.latency_s(0.5))
    for hundredth in range(100, 0, -1):
        tally.add(Answer(model="small"), hundredth / 100)
    assert tally.latency_s(0.5) == 0.5
    assert tally.latency_s(0.99) == 0.99
    assert tally.latency_s(1.0) == 1.0
    assert tally.latency_s(0.0) == 0.01


def test_arrivals_repeat_with_the_seed_and_keep_their_rates() -> None:
    schedule = arrivals(10.0, random.Random(3), (FAST, SLOW))
    assert schedule == arrivals(10.0, random.Random(3), (FAST, SLOW))
    assert schedule != arrivals(10.0, random.Random(4), (FAST, SLOW))
    assert [one.at_s for one in schedule] == sorted(one.at_s for one in schedule)
    assert schedule[0].at_s > 0
    assert schedule[-1].at_s < 10.0
    # Three standard deviations of a Poisson variable with mean 1000 and 100.
    assert abs(sum(one.load is FAST for one in schedule) - 1000) < 95
    assert abs(sum(one.load is SLOW for one in schedule) - 100) < 30
    assert {one.prompt for one in schedule} == set(PROMPTS)


def test_the_demos_classes() -> None:
    assert {load.name: load.deadline_s for load in CLASSES} == {"realtime": 1.0, "standard": 2.0, "bulk": 7.0}
    assert list(new_tallies()) == ["realtime", "standard", "bulk"]


async def test_requests_go_out_whatever_became_of_earlier_ones() -> None:
    """The first is answered only after the last was sent."""
    released = asyncio.Event()
    asked: list[str] = []

    async def ask(arrival: Arrival) -> Answer:
        asked.append(arrival.prompt)
        if arrival.prompt == "third":
            released.set()
            return Answer(error="refused")
        await released.wait()
        return Answer(model=f"model of {arrival.prompt}")

    tallies = new_tallies((FAST, SLOW))
    schedule = [Arrival(0.0, FAST, "first"), Arrival(0.0, SLOW, "second"), Arrival(0.001, FAST, "third")]
    await asyncio.wait_for(send_load(schedule, ask, tallies, clock=MonotonicClock()), 5)
    assert asked == ["first", "second", "third"]
    assert (tallies["realtime"].sent, tallies["realtime"].answered) == (2, 1)
    assert tallies["realtime"].errors == {"refused": 1}
    assert tallies["bulk"].models == {"model of second": 1}


async def test_the_load_lasts_as_long_as_it_should() -> None:
    clock = MonotonicClock()
    started_at = clock.now()
    await send_load([], _never, {}, clock=clock, seconds=0.05)
    assert clock.now() - started_at >= 0.05


async def _never(arrival: Arrival) -> Answer:
    pytest.fail(f"asked for {arrival}")
