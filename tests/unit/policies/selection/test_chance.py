from __future__ import annotations

from dataclasses import replace

import pytest

from policies.selection.base import Candidate, Request
from policies.selection.chance import PowerOfTwo, Random
from policies.selection.draws import SplitMix64

REQUEST = Request("llm")
CANDIDATES = [Candidate(f"m{n}", "a", quality=n / 4, running=n) for n in range(4)]


class Scripted:
    def __init__(self, *numbers: float) -> None:
        self._numbers = list(numbers)

    def random(self) -> float:
        return self._numbers.pop(0)


def test_random_takes_each_candidate_as_often() -> None:
    policy = Random(SplitMix64(1))
    chosen = [policy.choose(REQUEST, CANDIDATES, now=0.0).candidate for _ in range(4000)]
    for position in range(4):
        # 1000 expected, standard deviation 27: five of them either way.
        assert chosen.count(position) == pytest.approx(1000, abs=135)
    assert policy.log_data() == {"decisions": 4000}


def test_random_draws_among_those_that_are_ready() -> None:
    away = [replace(CANDIDATES[0], ready=False), *CANDIDATES[1:3]]
    assert Random(Scripted(0.0)).choose(REQUEST, away, now=0.0).candidate == 1
    assert Random(Scripted(0.99)).choose(REQUEST, away, now=0.0).candidate == 2


def test_seeds_decide() -> None:
    def chosen(seed: int) -> list[int | None]:
        policy = Random(SplitMix64(seed))
        return [policy.choose(REQUEST, CANDIDATES, now=0.0).candidate for _ in range(20)]

    assert chosen(3) == chosen(3)
    assert chosen(3) != chosen(4)


@pytest.mark.parametrize(
    ("draws", "chosen"),
    [((0.0, 0.0), 0), ((0.9, 0.9), 2), ((0.9, 0.0), 0), ((0.3, 0.4), 1)],
    ids=["0 and 1", "3 and 2", "3 and 0", "1 and 2"],
)
def test_of_two_different_ones_the_less_loaded(draws: tuple[float, float], chosen: int) -> None:
    choice = PowerOfTwo(Scripted(*draws)).choose(REQUEST, CANDIDATES, now=0.0)
    assert choice.candidate == chosen
    assert choice.reason == f"load {chosen}, the less of 2"


def test_a_tie_of_loads_goes_to_quality_and_one_candidate_needs_one_draw() -> None:
    equal = [replace(candidate, running=1) for candidate in CANDIDATES[:2]]
    assert PowerOfTwo(Scripted(0.0, 0.0)).choose(REQUEST, equal, now=0.0).candidate == 1
    policy = PowerOfTwo(Scripted(0.5))
    assert policy.choose(REQUEST, CANDIDATES[:1], now=0.0).candidate == 0
    assert policy.log_data() == {"decisions": 1}
