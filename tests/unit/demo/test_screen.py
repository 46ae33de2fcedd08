import asyncio
import io
import math
from collections import Counter

import pytest
from rich.console import Console

from proxy.demo.load import Answer, ClassLoad, ClassTally
from proxy.demo.screen import load_line, load_table, milliseconds, mix, percent, show_while


def tallies() -> dict[str, ClassTally]:
    realtime = ClassTally(ClassLoad("realtime", deadline_s=1.0, rate_hz=1.0, tokens=1), sent=3)
    realtime.add(Answer(model="llm-small"), 0.02)
    realtime.add(Answer(model="llm-large"), 1.5)
    bulk = ClassTally(ClassLoad("bulk", deadline_s=7.0, rate_hz=1.0, tokens=1))
    return {"realtime": realtime, "bulk": bulk}


def console(*, terminal: bool) -> tuple[Console, io.StringIO]:
    output = io.StringIO()
    return Console(file=output, force_terminal=terminal, width=120, color_system=None), output


@pytest.mark.parametrize(
    ("part", "whole", "text"), [(0, 0, "–"), (0, 3, "0 %"), (2, 3, "66 %"), (999, 1000, "99 %"), (3, 3, "100 %")]
)
def test_percent(part: int, whole: int, text: str) -> None:
    assert percent(part, whole) == text


def test_numbers() -> None:
    assert milliseconds(0.0204) == "20 ms"
    assert milliseconds(math.nan) == "–"
    assert mix(Counter(b=1, a=20)) == "a 20, b 1"
    assert mix(Counter()) == "–"


def test_the_table() -> None:
    shown, output = console(terminal=False)
    shown.print(load_table(tallies()))
    heading, realtime, bulk = output.getvalue().splitlines()
    assert " ".join(heading.split()) == "class deadline sent answered failed on time p50 p99 answered by"
    assert " ".join(realtime.split()) == "realtime 1 s 3 2 0 50 % 20 ms 1500 ms large 1, small 1"
    assert " ".join(bulk.split()) == "bulk 7 s 0 0 0 – – – –"


def test_the_line() -> None:
    assert load_line(tallies()) == "realtime: 1 of 2 on time   bulk: 0 of 0 on time"


@pytest.mark.parametrize("terminal", [False, True])
async def test_what_is_shown_last_is_how_it_ended(terminal: bool) -> None:
    shown, output = console(terminal=terminal)
    counted = tallies()

    async def work() -> None:
        await asyncio.sleep(0)
        counted["bulk"].sent = 77

    await asyncio.wait_for(show_while(work(), counted, shown), 5)
    shown_last = output.getvalue().rpartition("realtime")[2]
    assert "77" in shown_last


@pytest.mark.parametrize("terminal", [False, True])
async def test_failing_work_fails(terminal: bool) -> None:
    shown, _ = console(terminal=terminal)

    async def work() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    with pytest.raises(ExceptionGroup) as failure:
        await asyncio.wait_for(show_while(work(), tallies(), shown), 5)
    assert failure.group_contains(ValueError, match="no")
