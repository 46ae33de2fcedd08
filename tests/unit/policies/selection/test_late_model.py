from __future__ import annotations

import math

import pytest

from policies.profile import Profile
from policies.selection.late_model import LateModel, LateSettings, Waiting

BARE = LateSettings(margin_sigmas=0.0, least_lead_s=0.0)
PROFILE = Profile(((1, 0.4), (4, 1.0)))
"""A batch of 2 takes 0.6 s, of 3 0.8 s."""


def waiting(*requests: tuple[str, float], weight: float = 1.0, in_hand: float = 0.0) -> list[Waiting]:
    return [Waiting(at - in_hand, order, weight, name, at) for order, (name, at) in enumerate(requests)]


def names(requests: object) -> list[object]:
    return [request.key for request in requests]  # type: ignore[attr-defined]


def busy(profile: Profile = PROFILE, settings: LateSettings = BARE) -> LateModel:
    """A model that runs a batch of one from 0 on."""
    model = LateModel(0, profile, settings)
    model.sent("running", prompt_tokens=0, now=0.0)
    return model


def test_it_is_open_while_it_is_idle_and_again_before_its_batch_ends() -> None:
    assert LateModel(0, PROFILE, BARE).opens_at(now=0.0) == -math.inf
    assert busy().opens_at(now=0.1) == 0.4
    assert busy(settings=LateSettings(least_lead_s=0.1)).opens_at(now=0.1) == pytest.approx(0.3)
    spread = Profile(((1, 0.4), (4, 1.0)), deviation=0.1)
    assert busy(spread, LateSettings(lead_sigmas=2.0)).opens_at(now=0.1) == pytest.approx(0.4 - 2 * 0.04)


def test_it_is_closed_while_something_waits_there() -> None:
    model = busy()
    model.sent("next", prompt_tokens=0, now=0.39)
    assert model.opens_at(now=0.39) == math.inf
    assert model.earliest_at(now=0.39) == pytest.approx(0.4 + 0.4 + 0.4)


def test_it_keeps_what_full_batches_finish_in_time_and_leaves_the_most_urgent() -> None:
    # From 0.4 on batches of 1, 2, 3, 4 end at 0.8, 1.0, 1.2, 1.4, and a fifth request at 1.8.
    kept, left = busy().keep(waiting(("a", 0.7), ("b", 0.9), ("c", 1.1), ("d", 1.15), ("e", 9.0)), now=0.1)
    assert (names(kept), names(left)) == (["c", "d", "e"], ["a", "b"])


def test_the_lightest_of_too_many_are_left() -> None:
    light, heavy = waiting(("light", 0.85), ("heavy", 0.85))
    kept, left = busy().keep([light, heavy._replace(weight=2.0)], now=0.1)
    assert (names(kept), names(left)) == (["heavy"], ["light"])


def test_a_margin_makes_it_promise_less() -> None:
    spread = Profile(((1, 0.4), (4, 1.0)), deviation=0.1)
    assert names(busy(spread, BARE).keep(waiting(("a", 0.85)), now=0.1)[0]) == ["a"]
    assert names(busy(spread, LateSettings(margin_sigmas=3.0)).keep(waiting(("a", 0.85)), now=0.1)[0]) == []


def test_with_something_in_hand_a_request_goes_elsewhere_unless_there_is_nobody_else() -> None:
    tight = waiting(("a", 0.85), in_hand=0.1)
    assert names(busy().keep(tight, now=0.1)[0]) == []
    kept, left = busy().keep(tight, fallback=True, now=0.1)
    assert (names(kept), names(left)) == (["a"], [])
    assert names(busy().batch(kept, now=0.4)) == ["a"]
    kept, left = busy().keep(waiting(("lost", 0.75), ("a", 0.85), in_hand=0.1), fallback=True, now=0.1)
    assert (names(kept), names(left)) == (["a"], ["lost"])


def test_the_last_model_does_without_its_margin_rather_than_refuse() -> None:
    spread = Profile(((1, 0.4), (4, 1.0)), deviation=0.1)
    model = busy(spread, LateSettings(margin_sigmas=3.0))
    kept, _ = model.keep(waiting(("a", 0.81)), fallback=True, now=0.1)
    assert names(model.batch(kept, now=0.4)) == ["a"]


def test_a_batch_leaves_a_more_urgent_one_behind_only_for_more_than_that_one_is_worth() -> None:
    # Four end at 1.4, which is too late for the first; alone it is done at 0.8.
    three = waiting(("a", 1.3), ("b", 9.0), ("c", 9.0), ("d", 9.0))
    assert names(busy().batch(three, now=0.4)) == ["a", "b", "c"]
    five = waiting(("a", 0.9), ("b", 9.0), ("c", 9.0), ("d", 9.0), ("e", 9.0))
    assert names(busy().batch(five, now=0.4)) == ["b", "c", "d", "e"]
    heavy = [five[0]._replace(weight=4.0), *five[1:]]
    assert names(busy().batch(heavy, now=0.4)) == ["a"]


def test_an_idle_model_is_given_one_request() -> None:
    assert names(LateModel(0, PROFILE, BARE).batch(waiting(("a", 9.0), ("b", 9.0)), now=0.0)) == ["a"]


def test_its_pace_is_learned_both_ways() -> None:
    for took_s, expected_s in ((0.3, 0.4 * 0.95), (0.5, 0.4 * 1.05)):
        model = busy()
        model.ended("running", answered=True, messages=1, now=took_s)
        model.sent("next", prompt_tokens=0, now=took_s)
        assert model.opens_at(now=took_s) == pytest.approx(took_s + expected_s)
