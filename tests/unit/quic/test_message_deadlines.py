"""Which deadline holds for which byte of a stream."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.quic.message_deadlines import MessageDeadlines


def waiting(*messages: tuple[int, float]) -> MessageDeadlines:
    deadlines = MessageDeadlines()
    for end, deadline in messages:
        deadlines.add(end, deadline, acknowledged=0)
    return deadlines


def test_each_byte_goes_by_its_own_message() -> None:
    deadlines = waiting((10, 1.0), (15, 2.0), (40, 3.0))
    assert [deadlines.at(offset) for offset in (0, 9, 10, 14, 15, 39)] == [
        (1.0, 10),
        (1.0, 10),
        (2.0, 15),
        (2.0, 15),
        (3.0, 40),
        (3.0, 40),
    ]


def test_what_is_sent_again_goes_by_the_message_it_belongs_to() -> None:
    deadlines = waiting((10, 1.0), (15, 2.0), (40, 3.0))
    assert [deadlines.at(offset)[0] for offset in (20, 3, 12)] == [3.0, 1.0, 2.0]


def test_past_the_last_byte_the_last_message_counts() -> None:
    assert waiting((10, 1.0), (15, 2.0)).at(15) == (2.0, 15)


def test_a_message_is_due_no_later_than_one_behind_it() -> None:
    deadlines = waiting((10, 7.0), (15, 2.0), (20, 4.0))
    assert [deadlines.at(offset)[0] for offset in (0, 10, 15)] == [2.0, 2.0, 4.0]


def test_a_sooner_message_behind_it_moves_the_one_that_was_asked_about() -> None:
    deadlines = waiting((10, 7.0))
    assert deadlines.at(0) == (7.0, 10)
    deadlines.add(15, 2.0, acknowledged=0)
    assert deadlines.at(0) == (2.0, 10)


def test_it_covers_the_message_asked_about_last_until_another_comes() -> None:
    deadlines = waiting((10, 1.0), (15, 2.0))
    deadlines.at(10)
    assert [deadlines.covers(offset) for offset in (9, 10, 14, 15)] == [False, True, True, False]
    deadlines.add(20, 3.0, acknowledged=0)
    assert not deadlines.covers(10)


def test_messages_that_have_arrived_are_forgotten() -> None:
    deadlines = waiting((10, 1.0), (15, 2.0), (40, 3.0))
    deadlines.add(50, 4.0, acknowledged=14)
    assert repr(deadlines) == "<MessageDeadlines [(15, 2.0), (40, 3.0), (50, 4.0)]>"
    deadlines.add(60, 5.0, acknowledged=40)
    assert repr(deadlines) == "<MessageDeadlines [(50, 4.0), (60, 5.0)]>"


@given(
    st.lists(st.tuples(st.integers(1, 5), st.floats(0, 10)), min_size=1, max_size=30),
    st.lists(st.integers(0, 200), max_size=30),
    st.integers(0, 10),
)
def test_any_byte_at_any_time(messages: list[tuple[int, float]], offsets: list[int], asked_while_written: int) -> None:
    deadlines = MessageDeadlines()
    by_byte: list[float] = []
    ends: list[int] = []
    for size, deadline in messages:
        by_byte = [min(known, deadline) for known in by_byte] + [deadline] * size
        ends.append(len(by_byte))
        deadlines.add(len(by_byte), deadline, acknowledged=0)
        if asked_while_written < len(by_byte):
            assert deadlines.at(asked_while_written)[0] == by_byte[asked_while_written]
    for offset in offsets:
        deadline, end = deadlines.at(offset)
        byte = min(offset, len(by_byte) - 1)
        assert deadline == by_byte[byte]
        assert end == min(known for known in ends if known > byte)
