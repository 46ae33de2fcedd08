from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from policies.profile import TokenProfile
from policies.simulation.continuous import ContinuousModel
from policies.simulation.model import Spread

PROFILE = TokenProfile(prefill_s_per_token=0.1, prefill_base_s=0.0, step_s=((1, 1.0), (2, 1.5)), max_sequences=2)


def model(bench: Any, answers: list[int], prompts: list[int] | None = None) -> ContinuousModel:
    return ContinuousModel(
        0,
        PROFILE,
        prompts=prompts or [5] * len(answers),
        answers=answers,
        spread=Spread(0.0, np.random.default_rng(1)),
        outcomes=bench,
        later=bench.later,
    )


def submit(continuous: ContinuousModel, *keys: int, at: float) -> None:
    for key in keys:
        continuous.submit(key, now=at)


def test_one_sequence_reads_and_then_writes(bench: Any) -> None:
    continuous = model(bench, [3])
    submit(continuous, 0, at=0.0)
    bench.run(continuous)
    assert bench.log == [("began", 0, 0.5), ("answered", (0,), 1.0, 2.5)]
    assert repr(continuous) == "<ContinuousModel 0 0 queued, 0 active>"


def test_an_answer_of_one_token_ends_with_its_prompt(bench: Any) -> None:
    continuous = model(bench, [1])
    submit(continuous, 0, at=0.0)
    bench.run(continuous)
    assert bench.log == [("answered", (0,), 0.0, 0.5)]


def test_a_sequence_joins_at_the_end_of_a_step_and_the_others_pause(bench: Any) -> None:
    continuous = model(bench, [4, 2], [5, 20])
    submit(continuous, 0, at=0.0)
    bench.run(continuous, {0.7: partial(submit, continuous, 1, at=0.7)})
    # 0 writes at 1.5; the prompt of 1 is read until 3.5; both write at 5.0, 0 alone at 6.0.
    assert bench.log == [
        ("began", 0, 0.5),
        ("began", 1, 3.5),
        ("answered", (1,), 1.5, 5.0),
        ("answered", (0,), 3.5, 6.0),
    ]


def test_a_pause_before_a_sequence_came_is_not_its_own(bench: Any) -> None:
    continuous = model(bench, [9, 2, 3], [5, 20, 5])
    submit(continuous, 0, at=0.0)
    later = {0.7: partial(submit, continuous, 1, at=0.7), 5.5: partial(submit, continuous, 2, at=5.5)}
    bench.run(continuous, later)
    gaps = {entry[1]: entry[2] for entry in bench.log if entry[0] == "answered"}
    assert gaps == {(0,): 3.5, (1,): 1.5, (2,): 1.5}


def test_a_full_batch_keeps_others_waiting(bench: Any) -> None:
    continuous = model(bench, [2, 3, 2])
    submit(continuous, 0, at=0.0)
    submit(continuous, 1, 2, at=0.0)
    bench.run(continuous)
    began = {entry[1]: entry[2] for entry in bench.log if entry[0] == "began"}
    # 0 is read alone, then 1; both write at 2.5, which ends 0 and lets 2 in.
    assert began == {0: 0.5, 1: 1.0, 2: 3.0}


def test_a_withdrawn_sequence_makes_room(bench: Any) -> None:
    continuous = model(bench, [9, 9, 2])
    submit(continuous, 0, 1, 2, at=0.0)
    bench.run(continuous, {0.1: partial(continuous.withdraw, 1), 0.7: partial(continuous.withdraw, 0)})
    assert [entry for entry in bench.log if entry[0] == "answered"] == [("answered", (2,), 1.0, 2.0)]


def test_going_down_fails_everything(bench: Any) -> None:
    continuous = model(bench, [5, 5, 5, 2])
    submit(continuous, 0, 1, 2, at=0.0)
    bench.run(continuous, {1.6: partial(continuous.fail, now=1.6), 1.7: partial(submit, continuous, 3, at=1.7)})
    assert ("failed", (0, 1, 2), 1.6) in bench.log
    assert bench.log[-1] == ("answered", (3,), 1.0, 3.2)


def test_slowing_stretches_the_steps_that_follow(bench: Any) -> None:
    continuous = model(bench, [2])
    submit(continuous, 0, at=0.0)
    continuous.slow(2.0)
    bench.run(continuous)
    assert bench.log[-1] == ("answered", (0,), 2.0, 2.5)
