"""The terminal is left as it was found, and never waited for."""

from __future__ import annotations

import asyncio
import os
import termios

import pytest

from proxy.top.terminal import ENTER, FALLBACK_SIZE, LEAVE, Terminal
from tests.unit.top.windows import Window

CBREAK_OFF = termios.ICANON | termios.ECHO


def no_keys(_: str) -> None:
    """Nothing is typed here."""


async def test_a_page_is_shown_and_everything_is_put_back() -> None:
    with Window() as window:
        before = window.settings
        with Terminal(window.inside, window.inside, on_key=no_keys) as terminal:
            assert window.settings[3] & CBREAK_OFF == 0
            terminal.show(["first", "second"])
            assert window.look() == ENTER.decode() + "\x1b[Hfirst\x1b[K\r\r\nsecond\x1b[K\x1b[J"
            assert repr(terminal) == "<Terminal inside 0 B to be written>"
        assert window.look() == LEAVE.decode()
        assert window.settings == before
        terminal.leave()
        assert window.look() == ""


async def test_an_exception_leaves_it_as_it_was() -> None:
    with Window() as window:
        before = window.settings
        with pytest.raises(ZeroDivisionError), Terminal(window.inside, window.inside, on_key=no_keys):
            raise ZeroDivisionError
        assert window.look() == (ENTER + LEAVE).decode()
        assert window.settings == before


async def test_it_can_be_left_and_entered_again() -> None:
    with Window() as window, Terminal(window.inside, window.inside, on_key=no_keys) as terminal:
        before = window.settings
        terminal.leave()
        terminal.enter()
        terminal.enter()
        assert window.look() == (ENTER + LEAVE + ENTER).decode()
        assert window.settings == before


async def test_keys_come_one_by_one() -> None:
    keys: asyncio.Queue[str] = asyncio.Queue()
    with Window() as window, Terminal(window.inside, window.inside, on_key=keys.put_nowait):
        window.type("q")
        async with asyncio.timeout(5):
            assert await keys.get() == "q"


async def test_a_window_that_takes_nothing_costs_no_time_and_gets_the_newest_page_later() -> None:
    with Window() as window, Terminal(window.inside, window.inside, on_key=no_keys) as terminal:
        for number in range(100):
            terminal.show([f"{number} " + "x" * 1000])
        assert "to be written" in repr(terminal)
        seen = await window.until("99 x")
        assert "50 x" not in seen
        assert repr(terminal) == "<Terminal inside 0 B to be written>"


async def test_a_window_that_never_takes_anything_does_not_keep_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.top.terminal.LEAVE_WITHIN_S", 0.01)
    with Window() as window:
        before = window.settings
        with Terminal(window.inside, window.inside, on_key=no_keys) as terminal:
            terminal.show(["x" * 100_000])
        assert window.settings == before


async def test_its_size_is_the_window_s() -> None:
    with Window(columns=100, lines=40) as window:
        terminal = Terminal(window.inside, window.inside, on_key=no_keys)
        assert terminal.size == (100, 40)
        window.resize(60, 10)
        assert terminal.size == (60, 10)
        window.resize(0, 0)
        assert terminal.size == FALLBACK_SIZE


async def test_input_from_elsewhere_is_left_alone() -> None:
    reading, writing = os.pipe()
    with Window() as window:
        with Terminal(reading, window.inside, on_key=no_keys) as terminal:
            terminal.show(["page"])
        assert "page" in window.look()
    os.close(reading)
    os.close(writing)
