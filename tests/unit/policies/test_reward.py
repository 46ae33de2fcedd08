from __future__ import annotations

import pytest

from policies.reward import is_on_time, reward, score


def test_only_an_answer_in_time_is_worth_anything() -> None:
    assert reward(2.0, 0.7, on_time=True) == 1.4
    assert reward(2.0, 0.7, on_time=False) == 0.0


@pytest.mark.parametrize(
    ("delivered_at", "longest_gap_s", "on_time"), [(5.0, 0.5, True), (5.01, 0.0, False), (4.0, 0.51, False)]
)
def test_every_message_counts(delivered_at: float, longest_gap_s: float, on_time: bool) -> None:
    assert (
        is_on_time(delivered_at=delivered_at, deadline_at=5.0, longest_gap_s=longest_gap_s, token_deadline_s=0.5)
        is on_time
    )


def test_the_score_is_a_share_of_what_was_there_to_earn() -> None:
    assert score(3.0, 10.0, 0.6) == pytest.approx(0.5)
    assert score(0.0, 0.0, 0.6) == 0.0
