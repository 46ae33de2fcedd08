from __future__ import annotations

import math

import pytest

from policies.profile import Profile, TokenProfile
from policies.selection.late import LatePlanner, Plan
from policies.selection.late_model import LateSettings

LARGE, SMALL = 0, 1
LARGE_PROFILE = Profile(((1, 0.4), (4, 1.0)))
SMALL_PROFILE = Profile(((1, 0.1), (4, 0.4)))
BOTH = (True, True)


def planner(
    *, large: Profile = LARGE_PROFILE, small: Profile = SMALL_PROFILE, settings: LateSettings | None = None
) -> LatePlanner:
    return LatePlanner([(0.8, large), (0.4, small)], settings or LateSettings(margin_sigmas=1.0, least_lead_s=0.0))


def holding(held: LatePlanner, *requests: tuple[str, float], weight: float = 1.0) -> LatePlanner:
    for key, due_at in requests:
        held.hold(key, due_at=due_at, weight=weight)
    return held


def test_an_idle_model_gets_one_request_because_it_would_run_it_alone() -> None:
    held = holding(planner(), ("a", 9.0), ("b", 5.0), ("c", 7.0))
    assert held.plan(BOTH, now=0.0) == Plan([("b", LARGE)], (), 0.4)
    assert repr(held).startswith("<LatePlanner 2 waiting")
    assert held.plan(BOTH, now=0.4) == Plan([("c", LARGE), ("a", LARGE)], (), math.inf)


def test_a_model_with_a_queue_delay_gathers_a_batch_when_it_is_idle() -> None:
    gathers = Profile(((1, 0.4), (4, 1.0)), batch_delay_s=0.01)
    held = holding(planner(large=gathers), ("a", 9.0), ("b", 5.0), ("c", 7.0))
    assert held.plan(BOTH, now=0.0).sends == [("b", LARGE), ("c", LARGE), ("a", LARGE)]


def test_the_next_batch_goes_before_the_running_one_is_predicted_to_end() -> None:
    uncertain = Profile(((1, 0.4), (4, 1.0)), deviation=0.1)
    held = holding(
        planner(large=uncertain, settings=LateSettings(margin_sigmas=1.0, lead_sigmas=2.0)), ("a", 9.0), ("b", 9.0)
    )
    first = held.plan(BOTH, now=0.0)
    assert first.again_at == pytest.approx(0.4 - 2 * 0.04)
    assert held.plan(BOTH, now=0.3).sends == []
    assert held.plan(BOTH, now=first.again_at).sends == [("b", LARGE)]


def test_the_lead_has_a_least_length() -> None:
    held = holding(planner(settings=LateSettings(least_lead_s=0.1)), ("a", 9.0), ("b", 9.0))
    assert held.plan(BOTH, now=0.0).again_at == pytest.approx(0.3)


def test_while_a_batch_waits_at_a_model_no_other_goes_there() -> None:
    held = holding(planner(), ("a", 9.0), ("b", 9.0))
    held.plan(BOTH, now=0.0)
    held.plan(BOTH, now=0.4)
    holding(held, ("c", 9.0))
    assert held.plan(BOTH, now=0.45) == Plan([], (), 9.0 - 0.1)
    held.ended(LARGE, "a", answered=True, now=0.45)
    # It was slower than profiled, by an eighth, of which the mean takes a fifth.
    assert held.plan(BOTH, now=0.46).again_at == pytest.approx(0.45 + 0.4 * 1.025, abs=1e-5)


def test_what_the_best_model_cannot_finish_in_time_goes_to_the_next() -> None:
    held = holding(planner(), ("a", 0.5), ("b", 0.55), ("c", 1.0))
    # The large model runs one alone until 0.4; by 1.0 it could run the third after it.
    assert held.plan(BOTH, now=0.0).sends == [("b", LARGE), ("a", SMALL)]
    assert len(held) == 1


def test_of_too_many_the_lightest_and_then_the_most_urgent_is_left_to_the_next_model() -> None:
    held = planner()
    held.hold("light", due_at=0.45, weight=1.0)
    held.hold("heavy", due_at=0.45, weight=2.0)
    assert held.plan(BOTH, now=0.0).sends == [("heavy", LARGE), ("light", SMALL)]
    held = holding(planner(), ("urgent", 0.44), ("later", 0.45))
    assert held.plan(BOTH, now=0.0).sends == [("later", LARGE), ("urgent", SMALL)]


def test_a_batch_is_as_large_as_its_most_urgent_member_allows() -> None:
    held = holding(planner(), ("first", 9.0))
    held.plan((True, False), now=0.0)
    # A batch of 1 ends at 0.8, of 2 at 1.0, of 3 at 1.2, of 4 at 1.4.
    holding(held, ("a", 1.1), ("b", 3.0), ("c", 3.0), ("d", 3.0))
    assert [key for key, _ in held.plan((True, False), now=0.4).sends] == ["b", "c", "d"]
    held = holding(planner(), ("first", 9.0))
    held.plan((True, False), now=0.0)
    held.hold("a", due_at=1.1, weight=3.0)
    holding(held, ("b", 3.0), ("c", 3.0), ("d", 3.0))
    assert [key for key, _ in held.plan((True, False), now=0.4).sends] == ["a", "b"]


def test_every_instance_has_its_own_batches() -> None:
    two = Profile(((1, 0.4), (4, 1.0)), instances=2)
    held = holding(planner(large=two), *((key, 0.45) for key in "abc"))
    assert held.plan(BOTH, now=0.0).sends == [("b", LARGE), ("c", LARGE), ("a", SMALL)]
    held = holding(planner(large=two), ("a", 9.0), ("b", 9.0), ("c", 9.0))
    assert held.plan((True, False), now=0.0) == Plan([("a", LARGE), ("b", LARGE)], (), 0.4)


def test_a_model_that_is_not_ready_gets_nothing() -> None:
    held = holding(planner(), ("a", 9.0))
    assert held.plan((False, True), now=0.0).sends == [("a", SMALL)]
    held = holding(planner(), ("a", 9.0), ("b", 1.0))
    assert held.plan((False, False), now=0.5) == Plan([], (), 0.9)
    assert held.plan((False, False), now=1.5).refused == ["b"]


def test_what_is_too_late_for_every_model_is_refused() -> None:
    held = holding(planner(), ("a", 0.05), ("b", 9.0))
    assert held.plan(BOTH, now=0.0) == Plan([("b", LARGE)], ["a"], math.inf)
    assert len(held) == 0


def test_a_request_stays_off_the_models_that_it_is_barred_from() -> None:
    held = planner()
    held.hold("a", due_at=9.0, weight=1.0, barred={LARGE})
    assert held.plan(BOTH, now=0.0).sends == [("a", SMALL)]
    held.hold("a", due_at=9.0, weight=1.0)
    assert held.plan(BOTH, now=0.0).sends == [("a", LARGE)]


def test_what_went_past_the_plan_is_counted() -> None:
    held = planner()
    held.sent(LARGE, "pinned", now=0.0)
    holding(held, ("a", 0.3), ("b", 9.0))
    assert held.plan(BOTH, now=0.1) == Plan([("a", SMALL)], (), 0.2)
    assert held.plan(BOTH, now=0.4).sends == [("b", LARGE)]


def test_one_without_a_deadline_goes_behind_all_others() -> None:
    held = holding(planner(), ("whenever", math.inf), ("a", 9.0))
    assert held.plan((True, False), now=0.0).sends == [("a", LARGE)]
    assert held.plan((True, False), now=0.4).sends == [("whenever", LARGE)]


def test_one_that_is_given_up_is_gone() -> None:
    held = holding(planner(), ("a", 9.0), ("b", 9.0))
    held.discard("a")
    assert held.plan(BOTH, now=0.0) == Plan([("b", LARGE)], (), math.inf)


def test_token_streams_are_not_held() -> None:
    tokens = TokenProfile(0.0, 0.1, ((1, 0.2),), max_sequences=1)
    with pytest.raises(ValueError, match="model 1 streams tokens"):
        planner(small=Profile(((1, 0.7),), tokens=tokens))


def test_a_model_that_takes_less_than_its_profile_gets_its_batches_sooner() -> None:
    held = holding(planner(), *((key, 99.0) for key in "abcd"))
    held.plan(BOTH, now=0.0)
    held.ended(LARGE, "a", answered=True, now=0.3)
    # Three quarters of the profiled time, of which the mean takes a fifth.
    held.discard("c")
    held.discard("d")
    holding(held, ("e", 99.0))
    assert held.plan(BOTH, now=0.3).again_at == pytest.approx(0.3 + 0.4 * 0.95)


def test_where_the_way_back_varies_something_is_kept_in_hand() -> None:
    settings = LateSettings(margin_sigmas=0.0, least_lead_s=0.0, way_back_deviations=2.0)
    held = planner(settings=settings)
    held.hold("a", due_at=0.45, way_back_deviation_s=0.05, weight=1.0)
    assert held.plan(BOTH, now=0.0).sends == [("a", SMALL)]
    held.hold("b", due_at=0.45, way_back_deviation_s=0.02, weight=1.0)
    assert held.plan(BOTH, now=0.0).sends == [("b", LARGE)]


def test_the_last_model_takes_what_has_nothing_in_hand() -> None:
    held = planner()
    held.hold("a", due_at=0.15, way_back_deviation_s=1.0, weight=1.0)
    assert held.plan(BOTH, now=0.0) == Plan([("a", SMALL)], (), math.inf)
