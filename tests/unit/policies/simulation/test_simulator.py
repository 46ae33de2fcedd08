from __future__ import annotations

import pytest

from policies.selection.base import Candidate, Choice, Request
from policies.selection.late_model import LateSettings
from policies.simulation.results import FAILED, SHED
from policies.simulation.simulator import Simulation
from policies.simulation.workload import Event, RequestClass, Workload
from policies.traffic import TrafficClass
from tests.unit.policies.simulation.worlds import streams, world

Seen = tuple[float, Request, list[Candidate]]
LARGE, SMALL = 0, 1


def play(simulation: Simulation, choices: list[int | None]) -> list[Seen]:
    """Decide by the list, positions among what is offered; what was seen, in order."""
    seen = []
    left = iter(choices)
    while simulation.advance() is not None:
        request, candidates = simulation.view()
        seen.append((simulation.now, request, candidates))
        simulation.decide(Choice(next(left)))
    return seen


def test_an_answer_travels_both_ways() -> None:
    simulation = Simulation(world([1.0]), 1)
    [(now, request, _)] = play(simulation, [LARGE])
    assert now == pytest.approx(1.05)
    assert request.slack_s(now=now) == pytest.approx(0.9)
    assert simulation.outcome.finished_at == [pytest.approx(1.6)]
    assert simulation.outcome.reward == [pytest.approx(1.6)]
    assert repr(simulation) == "<Simulation world at 1.550 s, 1 of 1 arrived>"


def test_a_late_answer_is_worth_nothing() -> None:
    simulation = Simulation(world([1.0], deadline=0.59), 1)
    play(simulation, [LARGE])
    assert (simulation.outcome.on_time, simulation.outcome.reward) == ([False], [0.0])
    assert simulation.outcome.candidate == [LARGE]


def test_a_policy_sees_what_was_sent_before() -> None:
    seen = play(Simulation(world([0.0, 0.1, 0.2]), 1), [LARGE, LARGE, SMALL])
    large, small = seen[2][2]
    assert (large.running, large.waiting, large.batch) == (1, 1, 2)
    assert large.predicted_finish_at == pytest.approx(0.05 + 0.5 + 0.6)
    assert small.running == 0
    assert small.predicted_finish_at == pytest.approx(0.35)
    assert seen[2][1].arrivals is not None
    assert dict(seen[2][1].arrivals.class_mix) == {"only": 1.0}


def test_a_prediction_does_not_know_the_models_spread() -> None:
    slow = Event(0.0, 90.0, "slow", "large", factor=2.0)
    seen = play(Simulation(world([1.0, 2.5], events=[slow]), 1), [LARGE, LARGE])
    assert seen[0][2][LARGE].predicted_finish_at == pytest.approx(1.05 + 0.5)
    later = seen[1][2][LARGE]
    assert later.slow_down == pytest.approx(1.2, rel=0.01)  # 1 + 0.2 (2 - 1), half a second ago
    assert later.predicted_finish_at == pytest.approx(2.55 + 0.6, rel=0.01)


def test_shed_requests_end_at_once() -> None:
    simulation = Simulation(world([1.0]), 1)
    play(simulation, [None])
    assert (simulation.outcome.candidate, simulation.ended, simulation.decisions) == ([SHED], [0], 1)


def test_a_request_on_a_candidate_that_goes_down_is_tried_elsewhere() -> None:
    simulation = Simulation(world([1.0], events=[Event(1.2, 5.0, "down", "large")]), 1)
    seen = play(simulation, [LARGE, 0])
    assert [now for now, _, _ in seen] == pytest.approx([1.05, 1.2])
    assert (seen[1][1].attempt, [candidate.name for candidate in seen[1][2]]) == (1, ["small"])
    assert simulation.outcome.candidate == [SMALL]
    assert simulation.outcome.on_time == [True]


def test_without_slack_or_candidates_left_it_fails() -> None:
    both = [Event(1.2, 5.0, "down", name) for name in ("large", "small")]
    simulation = Simulation(world([1.0], events=both), 1)
    assert len(play(simulation, [LARGE, 0])) == 2
    assert simulation.outcome.candidate == [FAILED]
    late = Simulation(world([1.0], deadline=0.2, events=both), 1)
    assert len(play(late, [LARGE])) == 1
    assert late.outcome.candidate == [FAILED]


def test_a_candidate_found_away_is_not_ready_until_a_probe_finds_it_back() -> None:
    times = [1.0, 1.3, 4.9, 7.9, 8.1]
    seen = play(Simulation(world(times, events=[Event(1.2, 6.0, "down", "large")]), 1), [LARGE, 0, SMALL, *[SMALL] * 3])
    ready = {round(now, 2): candidates[0].ready for now, _, candidates in seen if len(candidates) == 2}
    assert ready == {1.05: True, 1.35: False, 4.95: False, 7.95: False, 8.15: True}
    assert seen[2][2][0].error_rate == pytest.approx(0.2 * 0.5**0.015)


def test_on_miss_fail_gives_up_at_the_deadline_and_frees_the_queue() -> None:
    kind = RequestClass(TrafficClass("only", 0.65, on_miss="fail"), 1.0)
    slow = Event(0.0, 0.3, "slow", "large", factor=2.0)
    simulation = Simulation(world([0.0, 0.1, 1.02], classes=(kind,), events=[slow]), 1)
    seen = play(simulation, [LARGE, LARGE, LARGE])
    # The first runs on until 1.05, for nobody; the second would run after it if it were still in the queue.
    assert (seen[2][2][LARGE].running, seen[2][2][LARGE].waiting) == (0, 0)
    assert simulation.outcome.candidate == [FAILED, FAILED, LARGE]
    assert simulation.outcome.finished_at[2] == pytest.approx(1.07 + 0.5 + 0.05)


@pytest.mark.parametrize(("token_deadline", "on_time"), [(0.25, True), (0.15, False)])
def test_every_token_of_a_stream_must_be_in_time(token_deadline: float, on_time: bool) -> None:
    simulation = Simulation(streams([0.0], token_deadline=token_deadline), 1)
    [(_, request, candidates)] = play(simulation, [LARGE])
    assert (request.streaming, request.token_deadline_s) == (True, token_deadline)
    assert candidates[0].predicted_finish_at == pytest.approx(0.15)
    assert simulation.outcome.on_time == [on_time]
    assert simulation.outcome.finished_at == [pytest.approx(0.05 + 0.1 + 2 * 0.2 + 0.05)]


def test_a_stream_that_has_begun_is_not_tried_again() -> None:
    workload = streams([0.0], answer_tokens=50)
    simulation = Simulation(
        world(
            [0.0], classes=workload.classes, candidates=workload.candidates, events=[Event(1.0, 1.0, "down", "large")]
        ),
        1,
    )
    assert len(play(simulation, [LARGE])) == 1
    assert simulation.outcome.candidate == [FAILED]


def late(workload: Workload) -> Simulation:
    """Run to its end by the planner, which asks nothing."""
    simulation = Simulation(workload, 1, planned=LateSettings())
    assert simulation.advance() is None
    return simulation


def test_what_waits_for_a_better_model_runs_there_as_one_batch() -> None:
    # The second and the third come while the first runs alone until 0.55, and share the batch after it.
    simulation = late(world([0.0, 0.1, 0.2], deadline=9.0))
    assert simulation.outcome.candidate == [LARGE] * 3
    assert simulation.outcome.finished_at == pytest.approx([0.6, 0.55 + 0.6 + 0.05, 0.55 + 0.6 + 0.05])
    assert simulation.decisions == 3


def test_what_would_be_late_there_does_not_wait() -> None:
    simulation = late(world([0.0, 0.1, 0.2], deadline=1.0))
    # After the first the large model can have one more in time, alone; of two it leaves the more urgent.
    assert simulation.outcome.candidate == [LARGE, SMALL, LARGE]
    assert simulation.outcome.on_time == [True] * 3


def test_what_a_model_lost_is_planned_anew_elsewhere() -> None:
    simulation = late(world([0.0, 0.1], deadline=30.0, events=[Event(0.2, 5.0, "down", "large")]))
    assert simulation.outcome.candidate == [SMALL, SMALL]
    both = [Event(0.2, 5.0, "down", name) for name in ("large", "small")]
    simulation = late(world([0.0, 1.0], deadline=30.0, events=both))
    assert simulation.outcome.candidate == [FAILED, LARGE]
    simulation = late(world([0.0, 1.0], deadline=2.0, events=both))
    assert simulation.outcome.candidate == [FAILED, SHED]


def test_on_miss_fail_gives_up_what_waits_or_runs_late() -> None:
    kind = RequestClass(TrafficClass("only", 0.7, on_miss="fail"), 1.0)
    slow = Event(0.0, 9.0, "slow", "small", factor=20.0)
    simulation = late(world([0.0, 0.01, 0.02], classes=(kind,), events=[slow]))
    assert simulation.outcome.candidate == [LARGE, FAILED, FAILED]
