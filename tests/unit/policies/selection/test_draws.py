from __future__ import annotations

import pytest

from policies.selection.draws import SplitMix64


def test_the_numbers_are_those_of_the_published_generator() -> None:
    # The first outputs of splitmix64 for the seed 1234567, as implementations commonly check them.
    draws = SplitMix64(1234567)
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert [draws.random() for _ in expected] == [(value >> 11) / 2**53 for value in expected]


def test_a_seed_repeats_and_another_differs() -> None:
    first, again, other = SplitMix64(7), SplitMix64(7), SplitMix64(8)
    numbers = [first.random() for _ in range(50)]
    assert numbers == [again.random() for _ in range(50)]
    assert numbers != [other.random() for _ in range(50)]


def test_the_numbers_are_spread_evenly() -> None:
    draws = SplitMix64()
    numbers = [draws.random() for _ in range(4000)]
    assert all(0 <= number < 1 for number in numbers)
    for decile in range(10):
        # 400 expected, standard deviation 19: five of them either way.
        assert sum(int(number * 10) == decile for number in numbers) == pytest.approx(400, abs=95)
