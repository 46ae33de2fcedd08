from __future__ import annotations

import math

from policies.selection.base import Candidate, Choice, Request, choosable


def test_slack_is_what_is_left_after_the_way_back() -> None:
    assert Request("llm", deadline_at=12.0, way_back_s=0.5).slack_s(now=10.0) == 1.5
    assert Request("llm", deadline_at=9.0).slack_s(now=10.0) == -1.0
    assert Request("llm").slack_s(now=10.0) == math.inf


def test_load_counts_running_and_waiting() -> None:
    assert Candidate("m", "a", 0.5, running=2, waiting=3).load == 5


def test_choosable_is_the_ready_ones_or_all() -> None:
    ready, away = Candidate("m", "a", 0.5), Candidate("n", "a", 0.5, ready=False)
    assert choosable([away, ready, away]) == [1]
    assert choosable([away, away]) == [0, 1]
    assert choosable([]) == []


def test_a_choice_without_a_candidate_is_to_shed() -> None:
    assert Choice(None, "too late").shed
    assert not Choice(0).shed
