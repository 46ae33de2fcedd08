from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from policies.dqn.domain import STREAMING, Domain, DomainSettings, near
from policies.scheduling.registry import SCHEDULERS
from policies.selection.greedy import Greedy
from policies.simulation.run import run
from policies.simulation.workload import Workload
from policies.simulation.workload_file import read_workload


def _drawn(seconds: float, count: int) -> list[Workload]:
    domain, generator = Domain(DomainSettings(seconds=seconds)), np.random.default_rng(1)
    return [domain(generator) for _ in range(count)]


@pytest.fixture(scope="module")
def drawn() -> list[Workload]:
    return _drawn(4.0, 150)


def test_it_covers_what_it_is_to_cover(drawn: list[Workload]) -> None:
    assert {len(workload.candidates) for workload in drawn} == {1, 2, 3, 4, 5, 6}
    assert {type(workload.arrivals).__name__ for workload in drawn} == {
        "Stable",
        "Unpredictable",
        "Mmpp",
        "Diurnal",
        "Flash",
    }
    assert {event.kind for workload in drawn for event in workload.events} == {"down", "slow", "delay"}
    assert {len(workload.classes) for workload in drawn} == {1, 2, 3, 4}
    assert 0.05 < np.mean([workload.streaming for workload in drawn]) < 0.2
    assert any(workload.mix for workload in drawn)
    assert any(candidate.profile.instances > 1 for workload in drawn for candidate in workload.candidates)


def test_every_one_can_be_played_and_most_are_neither_hopeless_nor_easy(drawn: list[Workload]) -> None:
    scores = np.array([run(workload, Greedy(), seed=1).score for workload in drawn[:40]])
    assert 0.5 < scores.mean() < 0.95
    assert (scores < 0.97).mean() > 0.4


def test_a_generator_repeats() -> None:
    first, second = (Domain()(np.random.default_rng(3)) for _ in range(2))
    assert first == second


def test_candidates_can_be_given() -> None:
    for name in ("stable", "tokens"):
        own = read_workload(name).candidates
        made = Domain(DomainSettings(seconds=2.0), own)(np.random.default_rng(4))
        assert made.candidates == own
        assert made.streaming == (name == "tokens")


def test_token_streams_come_over_links_that_they_share() -> None:
    generator = np.random.default_rng(6)
    made = [Domain(replace(STREAMING, seconds=4.0))(generator) for _ in range(60)]
    assert all(workload.streaming for workload in made)
    orders = [workload.network.order for workload in made]
    assert set(orders) == {None, *SCHEDULERS}
    several = next(workload.classes for workload in made if len(workload.classes) > 1)
    assert [kind.traffic.level for kind in several[:2]] == ["high", "low"]  # so that those two orders differ
    assert several[0].traffic.priority < several[1].traffic.priority
    assert 0.3 < np.mean([order is not None for order in orders]) < 0.7
    assert all(workload.network.rate for workload in made if workload.network.order)
    assert all(workload.network.order is None for workload in _drawn(4.0, 20))


def test_near_changes_only_latencies_and_by_a_tenth_at_most() -> None:
    workload = read_workload("stable")
    made = near((workload,), np.random.default_rng(5))
    assert replace(made, candidates=workload.candidates) == workload
    for candidate, original in zip(made.candidates, workload.candidates, strict=True):
        assert 0.9 <= candidate.profile.at(1) / original.profile.at(1) <= 1.1
        assert candidate.profile != original.profile
