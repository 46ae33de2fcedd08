from __future__ import annotations

import math

import pytest

from policies.scheduling.base import StreamOrder


def test_work_with_a_deadline_is_due_then() -> None:
    assert StreamOrder(0, arrived_at=100.0, deadline=101.5).due_at == 101.5


def test_work_without_one_competes_as_if_due_30_s_after_it_arrived() -> None:
    assert StreamOrder(0, arrived_at=100.0).due_at == 130.0


@pytest.mark.parametrize(
    ("deadline", "now", "late"),
    [(101.0, 100.9, False), (101.0, 101.0, False), (101.0, 101.1, True), (math.inf, 1e12, False)],
)
def test_late_is_past_the_deadline_and_never_without_one(deadline: float, now: float, late: bool) -> None:
    assert StreamOrder(0, arrived_at=100.0, deadline=deadline).is_late(now=now) is late
