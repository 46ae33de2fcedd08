from __future__ import annotations

import pytest

from proxy.config import Address
from proxy.discovery.members import RETRY_S, Changes, Member, changes, wait_s

A, B, C = (Address(f"10.0.0.{number}", 4433) for number in (1, 2, 3))
READY = Member(ready=True, retired=False, calls=0)
DOWN = Member(ready=False, retired=False, calls=0)


def retired(*, ready: bool = True, calls: int = 0) -> Member:
    return Member(ready=ready, retired=True, calls=calls)


@pytest.mark.parametrize(
    ("members", "named", "expected"),
    [
        ({}, [A, B], Changes(join=(A, B))),
        ({}, [A, A], Changes(join=(A,))),
        ({A: READY, B: DOWN}, [B, A], Changes()),
        ({A: READY}, [A, B], Changes(join=(B,))),
        ({A: READY, B: READY}, [B], Changes(retire=(A,))),
        ({A: READY, B: READY, C: READY}, [C], Changes(retire=(A, B))),
        ({A: retired(calls=2), B: READY}, [B], Changes()),
        ({A: retired(), B: READY}, [B], Changes(close=(A,))),
        ({A: retired(calls=2), B: READY}, [A, B], Changes(restore=(A,))),
    ],
    ids=[
        "the first",
        "named twice",
        "nothing new",
        "one joins",
        "one leaves",
        "two leave",
        "a call is under way",
        "the last call has ended",
        "back before it was closed",
    ],
)
def test_changes(members: dict[Address, Member], named: list[Address], expected: Changes) -> None:
    assert changes(members, named) == expected


class TestNobodyLeftToServe:
    """All that is known is gone from the name, or what is named can't be reached."""

    def test_who_can_be_reached_stays_until_a_successor_can(self) -> None:
        assert changes({A: READY}, [B]) == Changes(join=(B,))
        assert changes({A: READY, B: DOWN}, [B]) == Changes()
        assert changes({A: READY, B: READY}, [B]) == Changes(retire=(A,))

    def test_who_cannot_be_reached_goes_at_once(self) -> None:
        assert changes({A: DOWN}, [B]) == Changes(join=(B,), retire=(A,))
        assert changes({A: retired(ready=False)}, [B]) == Changes(join=(B,), close=(A,))

    def test_one_that_is_retired_counts_as_a_successor_when_it_is_named_again(self) -> None:
        assert changes({A: READY, B: retired()}, [B]) == Changes(restore=(B,), retire=(A,))


@pytest.mark.parametrize(
    ("urgent", "luck", "expected"),
    [(False, 0.0, 8.0), (False, 0.5, 10.0), (False, 1.0, 12.0), (True, 0.5, RETRY_S)],
)
def test_the_next_resolution(urgent: bool, luck: float, expected: float) -> None:
    assert wait_s(10.0, urgent=urgent, luck=luck) == pytest.approx(expected)


def test_a_short_interval_is_not_made_longer_by_urgency() -> None:
    assert wait_s(0.5, urgent=True, luck=0.5) == pytest.approx(0.5)
