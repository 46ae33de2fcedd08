"""Times of emulated models, beside those of the simulator's models on the same arrivals."""

from __future__ import annotations

import heapq
import random
import statistics
from collections.abc import Sequence

import numpy as np
import pytest

from ops.emulated.pacing import BatchPacing, RunningBatch, Spread, Stream
from policies.profile import TokenProfile
from policies.simulation.continuous import ContinuousModel
from policies.simulation.model import Spread as SimulatedSpread

TOKENS = TokenProfile(0.0002, 0.01, ((1, 0.02), (4, 0.035)), 4)
EXACT = Spread(0.0, "")


def running_batch() -> RunningBatch[int]:
    step_s = [TOKENS.step(count) for count in range(1, 5)]
    return RunningBatch(
        prefill_s=TOKENS.prefill_base_s, prefill_s_per_token=TOKENS.prefill_s_per_token, step_s=step_s, spread=EXACT
    )


def test_a_batch_takes_its_rows_time() -> None:
    pacing = BatchPacing([0.1, 0.15], EXACT)
    assert pacing.begin(1, now=5.0) == pytest.approx(5.1)
    assert pacing.begin(2, now=6.0) == pytest.approx(6.15)
    assert pacing.begin(3, now=7.0) == pytest.approx(7.15)


def test_a_batch_that_waited_begins_when_the_last_one_was_to_end() -> None:
    pacing = BatchPacing([0.1], EXACT)
    ends = pacing.begin(1, now=0.0)
    for _ in range(100):
        late = ends + 0.01  # by the machine
        pacing.answered(now=late)
        ends = pacing.begin(1, now=late + 0.001)
    assert ends == pytest.approx(10.1)
    pacing.answered(now=ends)
    assert pacing.begin(1, now=ends + 0.01) == pytest.approx(ends + 0.11)


def test_several_rows_have_waited_for_an_idle_model_would_have_had_the_first_alone() -> None:
    pacing = BatchPacing([0.1, 0.15], EXACT)
    pacing.answered(now=(ends := pacing.begin(1, now=0.0)))
    assert pacing.begin(2, now=ends + 0.02) == pytest.approx(0.25)
    pacing.answered(now=0.25)
    assert pacing.begin(2, now=0.3) == pytest.approx(0.45)


def test_the_spread_is_the_profile_s_and_repeats_by_seed() -> None:
    spread = Spread(0.1, "1 llm_0")
    drawn = [spread.next() for _ in range(4000)]
    assert statistics.median(drawn) == pytest.approx(1.0, abs=0.01)
    assert statistics.stdev(drawn) == pytest.approx(0.1, abs=0.01)
    assert Spread(0.1, "1 llm_0").next() == drawn[0]
    assert Spread(0.1, "1 llm_1").next() != drawn[0]


class Outcomes:
    """When the simulator's requests had their first token, and their last."""

    def __init__(self) -> None:
        self.first: dict[int, float] = {}
        self.last: dict[int, float] = {}

    def began(self, model: int, key: int, now: float) -> None:
        self.first[key] = now

    def answered(self, model: int, keys: Sequence[int], longest_gap_s: float, now: float) -> None:
        for key in keys:
            self.first.setdefault(key, now)
            self.last[key] = now

    def failed(self, model: int, keys: Sequence[int], now: float) -> None:
        raise AssertionError


def simulated(arrivals: list[float], prompts: list[int], answers: list[int]) -> Outcomes:
    events: list[tuple[float, int, object]] = [(at, key, None) for key, at in enumerate(arrivals)]
    heapq.heapify(events)
    outcomes = Outcomes()
    numbers = iter(range(len(arrivals), 1_000_000))
    model = ContinuousModel(
        0,
        TOKENS,
        prompts=prompts,
        answers=answers,
        spread=SimulatedSpread(0.0, np.random.default_rng(1)),
        outcomes=outcomes,
        later=lambda at, what: heapq.heappush(events, (at, next(numbers), what)),
    )
    while events:
        at, number, what = heapq.heappop(events)
        if what is None:
            model.submit(number, now=at)
        else:
            model.due(what, now=at)
    return outcomes


def emulated(arrivals: list[float], prompts: list[int], answers: list[int]) -> Outcomes:
    outcomes, batch = Outcomes(), running_batch()
    at, arrived = 0.0, 0
    while arrived < len(arrivals) or batch.sequences:
        if not batch.sequences:
            at = max(at, arrivals[arrived])
        while arrived < len(arrivals) and arrivals[arrived] <= at:
            batch.join(Stream(arrived, prompts[arrived], answers[arrived]))
            arrived += 1
        step = batch.step()
        assert step is not None
        at += step.seconds
        for stream, last in batch.ended(step):
            outcomes.first.setdefault(stream.owner, at)
            if last:
                outcomes.last[stream.owner] = at
    return outcomes


@pytest.mark.parametrize("seed", range(3))
def test_token_streams_take_as_long_as_in_the_simulator(seed: int) -> None:
    generator = random.Random(seed)
    arrivals = sorted(generator.uniform(0, 20) for _ in range(100))
    prompts = [generator.randint(1, 300) for _ in arrivals]
    answers = [generator.randint(1, 30) for _ in arrivals]
    real, model = emulated(arrivals, prompts, answers), simulated(arrivals, prompts, answers)
    assert real.first == pytest.approx(model.first)
    assert real.last == pytest.approx(model.last)


def test_one_that_leaves_gives_up_its_place() -> None:
    batch = running_batch()
    streams = [Stream(number, 10, 3) for number in range(5)]
    for stream in streams:
        batch.join(stream)
    assert repr(batch) == "<RunningBatch 5 waiting, 0 active>"
    step = batch.step()
    assert step is not None
    batch.leave(streams[1])
    assert [stream.owner for stream, _ in batch.ended(step)] == [0, 2, 3]
    following = batch.step()
    assert following is not None
    assert following.seconds == pytest.approx(TOKENS.prefill(10))
    assert [(stream.owner, last) for stream, last in batch.ended(following)] == [(4, False)]
    batch.join(waiting := Stream(9, 10, 3))
    batch.leave(waiting)
    batch.leave(waiting)
    assert repr(batch) == "<RunningBatch 0 waiting, 4 active>"


def test_with_nothing_to_do_there_is_no_step() -> None:
    assert running_batch().step() is None
