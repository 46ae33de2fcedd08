from __future__ import annotations

import pytest

from policies.scheduling.edf import EarliestDeadlineFirst
from policies.scheduling.registry import SCHEDULERS, make_scheduler
from policies.scheduling.round_robin import RoundRobin


def test_disciplines_by_name() -> None:
    assert isinstance(make_scheduler("rr"), RoundRobin)
    assert isinstance(make_scheduler("edf"), EarliestDeadlineFirst)
    assert list(SCHEDULERS) == ["rr", "fcfs", "edf", "absolute", "multilevel", "weighted", "adaptive"]


@pytest.mark.parametrize("name", list(SCHEDULERS))
def test_each_time_a_new_one(name: str) -> None:
    assert make_scheduler(name) is not make_scheduler(name)


@pytest.mark.parametrize("name", ["", "EDF", "fair"])
def test_an_unknown_name_gets_the_known_ones(name: str) -> None:
    with pytest.raises(ValueError, match=f"^unknown scheduler '{name}'; known: rr, ") as caught:
        make_scheduler(name)
    assert str(caught.value).endswith(", ".join(SCHEDULERS))
