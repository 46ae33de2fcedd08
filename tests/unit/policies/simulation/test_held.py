from __future__ import annotations

from policies.simulation.held import HeldRequests


def holding(*entries: tuple[int, float], looks: int = 10) -> HeldRequests:
    held = HeldRequests(looks)
    for key, last_at in entries:
        held.hold(key, last_at)
    held.rewind()
    return held


def test_the_earliest_deadline_is_asked_about_first() -> None:
    held = holding((0, 3.0), (1, 1.0), (2, 2.0))
    assert [held.next(now=0.0) for _ in range(4)] == [1, 2, 0, None]
    assert len(held) == 0


def test_one_that_goes_on_waiting_is_not_asked_about_until_something_changes() -> None:
    held = holding((0, 1.0), (1, 2.0))
    assert held.next(now=0.0) == 0
    held.keep(0, 1.0, now=0.0)
    assert [held.next(now=0.0), held.next(now=0.0)] == [1, None]
    held.rewind()
    assert held.next(now=0.0) == 0


def test_the_late_wait_for_everybody_else() -> None:
    held = holding((0, 1.0), (1, 5.0))
    assert held.next(now=2.0) == 1
    held.keep(1, 5.0, now=2.0)
    assert held.next(now=2.0) is None
    assert repr(held) == "<HeldRequests 1 in time, 1 late>"
    held.rewind()
    assert [held.next(now=2.0), held.next(now=2.0)] == [1, 0]


def test_a_late_one_that_waits_on_ends_the_walk() -> None:
    held = holding((0, 1.0))
    assert held.next(now=2.0) == 0
    held.keep(0, 1.0, now=2.0)
    assert held.next(now=2.0) is None
    held.rewind()
    assert held.next(now=2.0) == 0


def test_a_change_costs_so_many_looks() -> None:
    held = holding(*((key, 1.0 + key) for key in range(5)), looks=2)
    asked = []
    while (key := held.next(now=0.0)) is not None:
        asked.append(key)
        held.keep(key, 1.0 + key, now=0.0)
    assert asked == [0, 1]
    assert len(held) == 5


def test_one_that_is_given_up_is_gone() -> None:
    held = holding((0, 1.0), (1, 2.0), (2, 9.0))
    held.next(now=1.5)
    held.discard(0)
    held.discard(2)
    assert len(held) == 0
