from __future__ import annotations

from dataclasses import replace

import pytest

from policies.dqn.validation import SEEDS, Validation, ValidationSettings, validate, validation_runs
from policies.selection.heuristics import LeastLoaded
from policies.simulation.workload_file import read_workload

SHORT = ValidationSettings(known_seconds=2.0, drawn=2, drawn_seconds=1.0)


def test_known_and_drawn_workloads_have_their_seeds() -> None:
    known, drawn = validation_runs(SHORT)
    assert [(workload.name, seed) for workload, seed in known] == [
        (name, seed) for name in ("stable", "unpredictable") for seed in SEEDS
    ]
    assert [workload.seconds for workload, _ in known + drawn] == [2.0] * 4 + [1.0] * 2
    assert drawn == validation_runs(SHORT)[1]


def test_workloads_of_one_s_own_are_the_known_ones() -> None:
    own = replace(read_workload("two"), seconds=1.0)
    known, drawn = validation_runs(SHORT, workloads=[own], candidates=own.candidates)
    assert known == [(own, seed) for seed in SEEDS]
    assert all(workload.candidates == own.candidates for workload, _ in drawn)


def test_the_score_is_half_and_half() -> None:
    known, drawn = validation_runs(SHORT)
    validation = validate(LeastLoaded, known, drawn)
    assert 0 < validation.known < 1
    assert validation.score == pytest.approx((validation.known + validation.drawn) / 2)
    assert validate(LeastLoaded, known, []) == Validation(validation.known, 0.0)
