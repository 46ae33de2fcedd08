"""When the messages of an answer are due, one after another."""

from __future__ import annotations

from policies.traffic import NO_DEADLINE, Deadline, TrafficClass
from proxy.tunnel.answer_deadlines import AnswerDeadlines

TOKENS = TrafficClass("tokens", 2.0, token_deadline_s=0.5)


def test_the_first_message_is_due_with_the_call_and_each_later_one_after_the_one_before() -> None:
    deadlines = AnswerDeadlines(Deadline(102.0), TOKENS)
    assert [deadlines.message(now=now) for now in (101.0, 101.25, 103.0)] == [102.0, 101.5, 101.75]
    assert deadlines.message(now=103.5) == 103.5


def test_a_later_request_of_the_stream_is_answered_by_its_own_deadline() -> None:
    deadlines = AnswerDeadlines(Deadline(102.0), TOKENS)
    deadlines.requested(102.0, now=100.0)
    assert [deadlines.message(now=now) for now in (101.0, 101.25)] == [102.0, 101.5]
    deadlines.requested(122.0, now=120.0)  # of which the last token's successor would be due at 101.75
    assert [deadlines.message(now=now) for now in (121.0, 121.25)] == [122.0, 121.5]
    deadlines.requested(121.5, now=121.25)  # sooner than the next token
    assert deadlines.message(now=121.25) == 121.5


def test_without_a_deadline_for_tokens_an_answer_is_due_when_its_request_is() -> None:
    deadlines = AnswerDeadlines(Deadline(102.0), TrafficClass("whole", 2.0))
    deadlines.requested(102.0, now=100.0)
    assert [deadlines.message(now=now) for now in (101.0, 103.0)] == [102.0, 102.0]
    deadlines.requested(106.0, now=104.0)
    deadlines.requested(107.0, now=105.0)
    assert [deadlines.message(now=now) for now in (105.0, 106.5, 108.0)] == [106.0, 107.0, 107.0]
    assert deadlines.status() == 107.0


def test_none_is_due_after_the_call_s_limit() -> None:
    deadlines = AnswerDeadlines(Deadline(102.0, limit_at=104.0), TOKENS)
    assert [deadlines.message(now=now) for now in (103.0, 103.75, 103.875)] == [102.0, 103.5, 104.0]


def test_without_a_deadline_for_the_call_later_messages_still_have_theirs() -> None:
    deadlines = AnswerDeadlines(Deadline(), TOKENS)
    assert [deadlines.message(now=now) for now in (10.0, 11.0)] == [NO_DEADLINE, 10.5]


def test_the_status_of_a_stream_is_due_as_another_message_would_be() -> None:
    deadlines = AnswerDeadlines(Deadline(102.0), TOKENS)
    deadlines.message(now=101.0)
    deadlines.message(now=103.0)
    assert deadlines.status() == 103.5


def test_the_status_after_one_message_or_none_is_due_with_the_call() -> None:
    deadlines = AnswerDeadlines(Deadline(102.0), TOKENS)
    assert deadlines.status() == 102.0
    deadlines.message(now=101.0)
    assert deadlines.status() == 102.0


def test_repr_shows_how_far_it_is() -> None:
    deadlines = AnswerDeadlines(Deadline(102.0), TOKENS)
    deadlines.message(now=101.0)
    assert repr(deadlines) == "<AnswerDeadlines messages=1 next_at=101.5>"
