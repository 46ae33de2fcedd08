from __future__ import annotations

import random

import pytest

from policies.scheduling.moore_hodgson import Need, given_up


def kept_weight(needs: list[Need], dropped: list[int]) -> float:
    """What is kept, after seeing that it is all in time."""
    total = weight = 0.0
    for index, need in enumerate(needs):
        if index not in dropped:
            total += need.unsent_bytes
            weight += need.weight
            assert total <= need.room_bytes, f"{index} is late"
    return weight


def heaviest(needs: list[Need]) -> float:
    """The best of all choices, each of which is tried."""
    best = 0.0
    for choice in range(1 << len(needs)):
        total = weight = 0.0
        for index, need in enumerate(needs):
            if choice >> index & 1:
                total += need.unsent_bytes
                weight += need.weight
                if total > need.room_bytes:
                    break
        else:
            best = max(best, weight)
    return best


def draw(rng: random.Random, weights: tuple[float, ...]) -> list[Need]:
    rooms = sorted(rng.randint(1, 60) for _ in range(rng.randint(1, 9)))
    return [Need(rng.choice((1, 2, 5, 13, 20)), room, rng.choice(weights)) for room in rooms]


def test_where_all_fits_nothing_is_given_up() -> None:
    assert given_up([]) == []
    assert given_up([Need(10, 10, 1.0), Need(10, 20, 1.0), Need(10, 30, 1.0)]) == []


def test_of_equal_weights_the_largest_goes() -> None:
    assert given_up([Need(10, 20, 1.0), Need(80, 90, 1.0), Need(10, 95, 1.0)]) == [1]


def test_what_comes_after_the_one_that_would_be_late_is_not_asked() -> None:
    assert given_up([Need(10, 15, 1.0), Need(10, 15, 1.0), Need(500, 5000, 1.0)]) == [0]


def test_what_is_worth_little_for_a_byte_goes() -> None:
    assert given_up([Need(8, 20, 2.0), Need(100, 100, 1.0), Need(8, 110, 1.0), Need(8, 112, 2.0)]) == [1]


def test_one_that_is_worth_less_goes_instead_of_a_large_one_that_is_worth_more() -> None:
    """A byte of the large one is worth less, but 4 bytes too many are no reason to lose ten."""
    assert given_up([Need(8, 50, 1.0), Need(100, 104, 10.0)]) == [0]


def test_a_large_one_goes_instead_of_many_that_are_worth_more_together() -> None:
    needs = [*(Need(8, 100, 1.0) for _ in range(10)), Need(100, 110, 3.0)]
    assert given_up(needs) == [10]


def test_what_was_thought_of_and_spared_can_go_later() -> None:
    """The third could be made room for by the first two, which are worth as much; the fourth takes all three."""
    needs = [Need(10, 104, 1.0), Need(10, 104, 1.0), Need(100, 105, 2.0), Need(100, 106, 5.0)]
    assert given_up(needs) == [0, 1, 2]


def test_what_can_t_be_in_time_alone_takes_nobody_with_it() -> None:
    assert given_up([Need(5, 10, 1.0), Need(100, 20, 50.0), Need(5, 30, 1.0)]) == [1]


def test_what_fits_after_all_comes_back() -> None:
    """The first goes for the second, which goes for the third: now there is room for the first again."""
    assert given_up([Need(10, 30, 1.0), Need(40, 40, 2.0), Need(40, 50, 4.0)]) == [1]


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 2.0), (1.0, 3.0, 10.0)])
def test_with_the_weights_of_classes_it_is_the_best_choice(weights: tuple[float, ...]) -> None:
    """With equal ones that is the theorem; with few different ones it holds on these 100."""
    rng = random.Random(1)
    for _ in range(100):
        needs = draw(rng, weights)
        assert kept_weight(needs, given_up(needs)) == heaviest(needs)


def test_with_any_weights_it_is_near_the_best_choice() -> None:
    rng = random.Random(1)
    shares = []
    for _ in range(100):
        needs = [need._replace(weight=rng.uniform(0.1, 5.0)) for need in draw(rng, (1.0,))]
        if (best := heaviest(needs)) > 0:
            shares.append(kept_weight(needs, given_up(needs)) / best)
    assert min(shares) > 0.7
    assert sum(shares) / len(shares) > 0.99


def test_weights_of_nothing_go_first() -> None:
    assert given_up([Need(10, 15, 0.0), Need(10, 15, 1e-9), Need(1, 16, 0.0)]) == [0]


def test_many_at_once() -> None:
    needs = [Need(10, 5 * (index + 1), 1.0 + index % 3) for index in range(2000)]
    dropped = given_up(needs)
    # Half of the bytes fit, and they are the half that is worth most.
    assert len(dropped) == 1000
    assert kept_weight(needs, dropped) > 2600
