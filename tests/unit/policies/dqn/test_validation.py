from __future__ import annotations

from dataclasses import replace

import pytest

from policies.dqn.domain import STREAMING, DomainSettings
from policies.dqn.validation import SEEDS, Validation, ValidationSettings, validate, validation_runs
from policies.selection.heuristics import LeastLoaded
from policies.simulation.workload_file import read_workload

DRAWN = DomainSettings()
SHORT = ValidationSettings(known_seconds=2.0, drawn=2, drawn_seconds=1.0)


def test_known_and_drawn_workloads_have_their_seeds() -> None:
    known, drawn = validation_runs(SHORT, DRAWN)
    assert [(workload.name, seed) for workload, seed in known] == [
        (name, seed) for name in ("stable", "unpredictable") for seed in SEEDS
    ]
    assert [workload.seconds for workload, _ in known + drawn] == [2.0] * 4 + [1.0] * 2
    assert drawn == validation_runs(SHORT, DRAWN)[1]


def test_workloads_of_one_s_own_are_the_known_ones() -> None:
    own = replace(read_workload("two"), seconds=1.0)
    known, drawn = validation_runs(SHORT, DRAWN, workloads=[own], candidates=own.candidates)
    assert known == [(own, seed) for seed in SEEDS]
    assert all(workload.candidates == own.candidates for workload, _ in drawn)


def test_the_score_is_half_and_half() -> None:
    known, drawn = validation_runs(SHORT, DRAWN)
    validation = validate(LeastLoaded, known, drawn)
    assert validation.known is not None
    assert validation.drawn is not None
    assert 0 < validation.known < 1
    assert validation.score == pytest.approx((validation.known + validation.drawn) / 2)
    only = validate(LeastLoaded, known, [])
    assert only == Validation(validation.known, None)
    assert only.score == validation.known
    with pytest.raises(ValueError, match="nothing to validate on"):
        validate(LeastLoaded, [], [])


def test_what_is_drawn_is_of_the_domain_that_is_trained_on() -> None:
    known, drawn = validation_runs(replace(SHORT, known=()), STREAMING)
    assert known == []
    assert [workload.streaming for workload, _ in drawn] == [True, True]
    assert [workload.seconds for workload, _ in drawn] == [1.0, 1.0]
