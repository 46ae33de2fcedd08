from __future__ import annotations

import pytest

from proxy.tunnel.flow import ReceiveCredit

WINDOW = 100


def test_a_message_s_bytes_come_back_when_it_is_taken() -> None:
    credit = ReceiveCredit()
    assert credit.arrived(40, finished=1) == 0
    assert repr(credit) == "<ReceiveCredit owed=40 unread=1>"
    assert credit.consumed(40) == 40
    assert repr(credit) == "<ReceiveCredit owed=0 unread=0>"


def test_bytes_of_an_unfinished_message_come_back_at_once() -> None:
    credit = ReceiveCredit()
    assert credit.arrived(60, finished=0) == 60
    assert credit.arrived(60, finished=0) == 60
    assert credit.arrived(60, finished=1) == 0
    assert credit.consumed(180) == 60


def test_behind_a_finished_message_unfinished_bytes_wait_too() -> None:
    credit = ReceiveCredit()
    assert credit.arrived(10, finished=1) == 0
    assert credit.arrived(30, finished=0) == 0
    assert credit.consumed(10) == 40


def test_of_several_unread_messages_each_gives_back_its_own() -> None:
    credit = ReceiveCredit()
    assert credit.arrived(35, finished=2) == 0
    assert credit.consumed(10) == 10
    assert credit.consumed(20) == 25


def test_no_more_comes_back_than_arrived() -> None:
    credit = ReceiveCredit()
    given = credit.arrived(80, finished=0)
    given += credit.arrived(30, finished=2)  # a message of 100 bytes, 80 of them given back, and one of 10
    given += credit.consumed(100)
    given += credit.consumed(10)
    assert given == 110


class Stream:
    """A sender that is given `WINDOW` bytes and what comes back, and a receiver that unframes `sizes`."""

    def __init__(self, sizes: list[int]) -> None:
        self._ends = [sum(sizes[: index + 1]) for index in range(len(sizes))]
        self._sizes = sizes
        self._credit = ReceiveCredit()
        self._allowed = WINDOW
        self.sent = 0
        self.read = 0

    @property
    def unread(self) -> int:
        return sum(end <= self.sent for end in self._ends) - self.read

    def send(self, most: int) -> int:
        size = min(most, self._allowed - self.sent, self._ends[-1] - self.sent)
        finished = sum(self.sent < end <= self.sent + size for end in self._ends)
        self.sent += size
        self._allowed += self._credit.arrived(size, finished=finished)
        return size

    def take(self) -> None:
        size = self._sizes[self.read]
        self.read += 1
        self._allowed += self._credit.consumed(size)


@pytest.mark.parametrize("packet", [1, 7, 50, 1000])
@pytest.mark.parametrize("sizes", [[1000], [5, 1000, 5], [100, 100, 100], [99, 102, 1, 1, 333], [5] * 50])
def test_messages_larger_than_the_window_complete(sizes: list[int], packet: int) -> None:
    stream = Stream(sizes)
    while stream.read < len(sizes):
        moved = stream.send(packet)
        if stream.unread:
            stream.take()
        else:
            assert moved, f"stuck at {stream.sent} of {sum(sizes)} bytes"
    assert stream.sent == sum(sizes)


@pytest.mark.parametrize("sizes", [[10] * 100, [30, 1000], [250, 10, 1000]])
def test_a_reader_that_stopped_gets_one_window_behind_its_first_message(sizes: list[int]) -> None:
    stream = Stream(sizes)
    while stream.send(7):
        pass
    assert stream.unread >= 1
    assert stream.sent <= sizes[0] + WINDOW
    before = stream.sent
    stream.take()
    assert stream.send(7) == 7
    assert stream.sent == before + 7
