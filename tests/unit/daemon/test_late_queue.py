from __future__ import annotations

import math

import pytest

from policies.profile import Profile, TokenProfile
from policies.selection.late import LatePlanner, Plan
from policies.selection.late_model import LateSettings
from proxy.daemon.guard import BUDGET_S, IN_A_ROW, REST_S, GuardStatistics
from proxy.daemon.late_queue import Decided, LateQueue, Released
from proxy.daemon.load import ModelLoad
from proxy.errors import Code
from proxy.testing.clock import ManualClock

LARGE, SMALL = 0, 1
LARGE_PROFILE = Profile(((1, 0.4), (4, 1.0)))
SMALL_PROFILE = Profile(((1, 0.1), (4, 0.4)))
SETTINGS = LateSettings(margin_sigmas=1.0, least_lead_s=0.0)


class Broken(LatePlanner):
    """Fails as long as it is told to."""

    fault: Exception | float | None = None

    def plan(self, ready: object, *, now: float) -> Plan:
        if isinstance(Broken.fault, Exception):
            raise Broken.fault
        plan = super().plan(ready, now=now)  # type: ignore[arg-type]
        return plan if Broken.fault is None else plan._replace(again_at=Broken.fault)


class Waits:
    """A queue before two models."""

    def __init__(self, planner: type[LatePlanner] = LatePlanner, timer: ManualClock | None = None) -> None:
        self.large = ModelLoad("large", "a", profile=LARGE_PROFILE)
        self.small = ModelLoad("small", "a", profile=SMALL_PROFILE)
        self.queue = LateQueue(
            [(0.8, self.large), (0.4, self.small)],
            SETTINGS,
            name="late",
            make_planner=planner,
            timer=timer or ManualClock(),
        )
        for load in (self.large, self.small):
            load.watch(self)

    def sent(self, load: ModelLoad, key: object, *, now: float) -> None:
        self.queue.sent(load, key, now=now)

    def ended(self, load: ModelLoad, key: object, *, answered: bool, now: float) -> None:
        self.queue.ended(load, key, answered=answered, now=now)

    def readiness_changed(self) -> None:
        pass

    def hold(self, *keys: str, due_at: float = 9.0, now: float = 0.0, **more: object) -> list[Released]:
        given: dict[str, object] = {"way_back_deviation_s": 0.0, "weight": 1.0, "size_bytes": 10, **more}
        decided = [self.queue.hold(key, due_at=due_at, now=now, **given) for key in keys]  # type: ignore[arg-type]
        return [one for one in decided if one is not None]

    def decide(self, now: float = 0.0) -> list[tuple[object, int | None, str]]:
        return [(one.key, one.position, one.cause) for one in self.queue.decide(now=now).released]


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def broken() -> Waits:
    Broken.fault = None
    return Waits(Broken)


def test_what_waits_goes_where_the_plan_says_when_a_model_has_room(waits: Waits) -> None:
    assert waits.hold("a", "b", "c") == []
    assert (len(waits.queue), waits.queue.held_bytes) == (3, 30)
    assert waits.queue.decide(now=0.0) == Decided([Released("a", LARGE, held=3)], 0.4)
    waits.large.sent("a", now=0.001)
    assert (len(waits.queue), waits.queue.held_bytes) == (2, 20)
    assert waits.queue.decide(now=0.1) == Decided([], 0.4)
    waits.large.finished("a", Code.OK, now=0.4)
    assert waits.decide(0.4) == [("b", LARGE, "")]
    assert repr(waits.queue).startswith("<LateQueue 1 requests, 10 bytes, <LatePlanner 1 waiting")


def test_what_no_model_answers_in_time_is_refused(waits: Waits) -> None:
    waits.hold("a", due_at=0.05)
    (one,) = waits.queue.decide(now=0.0).released
    assert (one.refused, one.undecided) == (True, False)


def test_what_other_routes_send_to_the_same_models_counts(waits: Waits) -> None:
    waits.large.sent("other", now=0.0)
    waits.hold("a", due_at=0.35)
    assert waits.decide(0.1) == [("a", SMALL, "")]
    waits.hold("b")
    assert waits.queue.decide(now=0.2) == Decided([], 0.4)


def test_a_new_queue_knows_what_is_under_way(waits: Waits) -> None:
    waits.large.sent("before", now=0.0)
    waits.small.sent("before too", now=0.0)
    later = LateQueue([(0.8, waits.large), (0.4, waits.small)], SETTINGS, name="late")
    later.hold("a", due_at=9.0, way_back_deviation_s=0.0, weight=1.0, size_bytes=1, now=0.05)
    assert later.decide(now=0.05) == Decided([], 0.1)


def test_one_that_is_given_up_is_gone_before_and_after_it_was_released(waits: Waits) -> None:
    waits.hold("a", "b")
    waits.queue.give_up("a", now=0.0)
    assert (len(waits.queue), waits.queue.held_bytes) == (1, 10)
    assert waits.decide() == [("b", LARGE, "")]
    waits.queue.give_up("b", now=0.0)  # it had not been sent
    waits.hold("c")
    assert waits.decide() == [("c", LARGE, "")]


def test_a_request_stays_off_the_models_that_failed_it_and_does_not_wait_for_one_that_is_away(waits: Waits) -> None:
    waits.hold("a", barred=[LARGE])
    assert waits.decide() == [("a", SMALL, "")]
    waits.small.away(now=0.0)
    assert waits.hold("b", barred=[LARGE]) == [Released("b")]
    assert waits.hold("c") == []


def test_with_every_model_away_what_waits_is_for_the_policy(waits: Waits) -> None:
    waits.hold("a", "b")
    waits.decide()
    for load in (waits.large, waits.small):
        load.probed(ready=False, now=0.1)
    assert waits.decide(0.1) == [("b", None, "")]
    assert waits.queue.statistics() == GuardStatistics(1, {})
    assert waits.hold("c", now=0.2) == [Released("c")]


def test_it_decides_again_when_a_model_may_be_back(waits: Waits) -> None:
    waits.large.away(now=0.0)
    waits.hold("a", "b")
    assert waits.queue.decide(now=0.0).released == [Released("a", SMALL, held=2)]
    waits.small.sent("a", now=0.0)
    waits.hold("c")
    assert waits.queue.decide(now=0.05).again_at == pytest.approx(0.1)
    waits.small.sent("other", now=0.06)  # nothing more can be sent there for now
    assert waits.queue.decide(now=0.06) == Decided([], 1.0)


@pytest.mark.parametrize(("fault", "cause"), [(ValueError("no"), "exception"), (math.nan, "scores are not numbers")])
def test_where_the_planner_fails_greedy_decides_and_another_planner_goes_on(
    broken: Waits, fault: Exception | float, cause: str
) -> None:
    broken.hold("a", "b", "c")
    broken.decide()
    broken.large.sent("a", now=0.0)
    Broken.fault = fault
    assert broken.decide(0.4) == [("b", None, cause), ("c", None, cause)]
    assert broken.queue.statistics() == GuardStatistics(2, {cause: 2})
    Broken.fault = None
    broken.hold("d", now=0.1)
    assert broken.queue.decide(now=0.1) == Decided([], 0.4)  # it knows of the first


def test_a_planner_that_fails_again_and_again_rests(broken: Waits) -> None:
    Broken.fault = ValueError("no")
    for _ in range(IN_A_ROW):
        broken.hold("a")
        broken.decide()
    Broken.fault = None
    assert broken.hold("a", now=1.0) == [Released("a", cause="resting")]
    assert broken.hold("a", now=REST_S, due_at=99.0) == []
    assert broken.decide(REST_S) == [("a", LARGE, "")]


def test_decisions_over_the_budget_stand_until_there_are_too_many() -> None:
    clock = ManualClock()

    class Slow(LatePlanner):
        def plan(self, ready: object, *, now: float) -> Plan:
            clock.advance(BUDGET_S * 2)
            return super().plan(ready, now=now)  # type: ignore[arg-type]

    slow = Waits(Slow, clock)
    slow.hold("a", "b")
    assert slow.decide() == [("a", LARGE, "")]
    slow.decide()
    slow.decide()
    assert slow.decide() == [("b", None, "resting")]
    assert slow.queue.statistics() == GuardStatistics(3, {"too slow": 3, "resting": 1})


def test_an_account_that_fails_costs_the_planner_and_not_the_request(waits: Waits) -> None:
    class Deaf(LatePlanner):
        def ended(self, model: int, key: object, *, answered: bool, now: float) -> None:
            raise KeyError(key)

    deaf = Waits(Deaf)
    deaf.hold("a", "b")
    deaf.decide()
    deaf.large.sent("a", now=0.0)
    deaf.large.finished("a", Code.OK, now=0.1)
    assert deaf.decide(0.1) == [("b", None, "exception")]


def test_candidates_that_it_cannot_plan_for_are_named() -> None:
    with pytest.raises(ValueError, match=r"^small on b has no profile$"):
        LateQueue([(0.4, ModelLoad("small", "b"))], SETTINGS, name="late")
    tokens = Profile(((1, 0.7),), tokens=TokenProfile(0.0, 0.1, ((1, 0.2),), max_sequences=1))
    with pytest.raises(ValueError, match=r"^small on b has a profile of token streams$"):
        LateQueue([(0.4, ModelLoad("small", "b", profile=tokens))], SETTINGS, name="late")
