from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from policies.profile import Profile
from policies.simulation.batching import BatchingModel
from policies.simulation.model import Spread

PROFILE = Profile(((1, 1.0), (4, 2.5)))


def model(bench: Any, profile: Profile = PROFILE) -> BatchingModel:
    spread = Spread(profile.deviation, np.random.default_rng(1))
    return BatchingModel(0, profile, spread=spread, outcomes=bench, later=bench.later)


def submit(batching: BatchingModel, *keys: int, at: float) -> None:
    for key in keys:
        batching.submit(key, now=at)


def test_the_queue_makes_the_next_batch_up_to_the_maximum(bench: Any) -> None:
    batching = model(bench)
    submit(batching, 0, 1, 2, 3, 4, 5, at=0.0)
    assert repr(batching) == "<BatchingModel 0 5 queued, batches [[0]]>"
    bench.run(batching)
    assert bench.log == [
        ("answered", (0,), 0.0, 1.0),
        ("answered", (1, 2, 3, 4), 0.0, 3.5),
        ("answered", (5,), 0.0, 4.5),
    ]


def test_two_instances_run_side_by_side(bench: Any) -> None:
    batching = model(bench, replace(PROFILE, instances=2))
    submit(batching, 0, 1, 2, at=0.0)
    bench.run(batching)
    assert bench.log == [
        ("answered", (0,), 0.0, 1.0),
        ("answered", (1,), 0.0, 1.0),
        ("answered", (2,), 0.0, 2.0),
    ]


def test_a_delay_gathers_a_batch(bench: Any) -> None:
    batching = model(bench, replace(PROFILE, batch_delay_s=0.2))
    submit(batching, 0, at=0.0)
    bench.run(batching, {0.1: partial(submit, batching, 1, at=0.1), 0.3: partial(submit, batching, 2, at=0.3)})
    assert bench.log == [("answered", (0, 1), 0.0, 1.7), ("answered", (2,), 0.0, 2.7)]


def test_a_full_batch_does_not_wait(bench: Any) -> None:
    batching = model(bench, replace(PROFILE, batch_delay_s=9.0))
    submit(batching, 0, 1, 2, 3, at=0.0)
    bench.run(batching)
    assert bench.log == [("answered", (0, 1, 2, 3), 0.0, 2.5)]


def test_preferred_sizes_go_first_and_the_rest_after_the_delay(bench: Any) -> None:
    batching = model(bench, replace(PROFILE, batch_delay_s=0.5, preferred=(2,)))
    submit(batching, 0, 1, 2, at=0.0)
    bench.run(batching)
    assert bench.log == [("answered", (0, 1), 0.0, 1.5), ("answered", (2,), 0.0, 2.5)]


def test_without_a_delay_a_preferred_size_closes_a_batch_while_it_waits(bench: Any) -> None:
    batching = model(bench, replace(PROFILE, preferred=(2, 4)))
    submit(batching, 0, 1, 2, 3, 4, 5, at=0.0)
    bench.run(batching)
    assert bench.log == [
        ("answered", (0,), 0.0, 1.0),
        ("answered", (1, 2), 0.0, 2.5),
        ("answered", (3, 4), 0.0, 4.0),
        ("answered", (5,), 0.0, 5.0),
    ]


def test_no_more_than_two_batches_are_made_ahead(bench: Any) -> None:
    batching = model(bench, replace(PROFILE, preferred=(2, 4)))
    submit(batching, *range(11), at=0.0)
    bench.run(batching)
    assert [entry[1] for entry in bench.log] == [(0,), (1, 2), (3, 4, 5, 6), (7, 8, 9, 10)]


def test_past_the_delay_a_batch_grows_beyond_preferred_sizes(bench: Any) -> None:
    batching = model(bench, replace(PROFILE, batch_delay_s=0.2, preferred=(2,)))
    submit(batching, 0, 1, at=0.0)
    bench.run(batching, {0.1: partial(submit, batching, 2, 3, 4, at=0.1)})
    assert bench.log == [("answered", (0, 1), 0.0, 1.5), ("answered", (2, 3, 4), 0.0, 3.5)]


def test_one_withdrawn_from_a_batch_that_waits_leaves_it(bench: Any) -> None:
    batching = model(bench, replace(PROFILE, preferred=(2,)))
    submit(batching, 0, 1, 2, 3, at=0.0)
    for key in (1, 2, 3):
        batching.withdraw(key)
    assert repr(batching) == "<BatchingModel 0 0 queued, batches [[0]]>"
    bench.run(batching)
    assert bench.log == [("answered", (0,), 0.0, 1.0)]


def test_a_withdrawn_request_leaves_the_queue_but_not_its_batch(bench: Any) -> None:
    batching = model(bench)
    submit(batching, 0, 1, 2, at=0.0)
    for key in (0, 1):
        batching.withdraw(key)
    bench.run(batching)
    assert bench.log == [("answered", (0,), 0.0, 1.0), ("answered", (2,), 0.0, 2.0)]


def test_going_down_fails_everything_and_the_next_request_finds_it_free(bench: Any) -> None:
    batching = model(bench)
    submit(batching, 0, 1, at=0.0)
    batching.fail(now=0.5)
    submit(batching, 2, at=0.6)
    bench.run(batching)
    assert bench.log == [("failed", (0, 1), 0.5), ("answered", (2,), 0.0, 1.6)]


def test_slowing_stretches_the_batches_that_follow(bench: Any) -> None:
    batching = model(bench)
    submit(batching, 0, 1, at=0.0)
    batching.slow(3.0)
    bench.run(batching)
    assert [entry[-1] for entry in bench.log] == [1.0, 4.0]


def test_latencies_spread_as_the_profile_says(bench: Any) -> None:
    batching = model(bench, replace(PROFILE, deviation=0.3, max_batch=1))
    submit(batching, *range(400), at=0.0)
    bench.run(batching)
    seconds = np.diff([0.0, *(entry[-1] for entry in bench.log)])
    assert float(seconds.std() / seconds.mean()) == pytest.approx(0.3, rel=0.15)
