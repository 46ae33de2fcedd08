"""The live view, from the first page to the last key."""

from __future__ import annotations

import asyncio
import io
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from proxy.clock import Clock
from proxy.control.client import ClientTls
from proxy.control.targets import Target
from proxy.tasks import spawn
from proxy.top.ends import End
from proxy.top.follow import follow, look_twice
from proxy.top.screen import screen
from proxy.top.terminal import Terminal

QUIT_KEYS = frozenset("qQ\x04")
"""Also the end of input, and Ctrl-C, which is a signal."""
QUIT_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LEAST_PAUSE_S = 0.05
"""From one page to the next: several processes that tell their status at once make one page."""
PLAIN_WIDTH = 120
"""Columns of a page that goes to a file or a pipe."""

Paint = Callable[[Text], str]


@dataclass(frozen=True, slots=True)
class Watching:
    """Whom to look at, and how often."""

    targets: Sequence[Target]
    tls: ClientTls | None
    interval_s: float
    clock: Clock


async def live(watching: Watching, *, input_fd: int, output_fd: int, paint: Paint) -> int:
    """Show the processes until the user quits or a signal asks for it; the exit code."""
    loop = asyncio.get_running_loop()
    changed, over = asyncio.Event(), asyncio.Event()
    changed.set()

    def on_key(keys: str) -> None:
        if not keys or QUIT_KEYS.intersection(keys):
            over.set()
            changed.set()

    def quit_now() -> None:
        on_key("")

    terminal = Terminal(input_fd, output_fd, on_key=on_key)

    def suspend() -> None:
        """As the terminal's Ctrl-Z asks; the next line runs when the shell lets us go on."""
        terminal.leave()
        os.kill(os.getpid(), signal.SIGSTOP)
        terminal.enter()
        changed.set()

    handlers = {**dict.fromkeys(QUIT_SIGNALS, quit_now), signal.SIGTSTP: suspend, signal.SIGWINCH: changed.set}
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    ends = [End(str(target)) for target in watching.targets]
    followers = [
        spawn(
            follow(
                target,
                end,
                tls=watching.tls,
                interval_s=watching.interval_s,
                clock=watching.clock,
                changed=changed.set,
            ),
            name=f"watch on {target}",
        )
        for target, end in zip(watching.targets, ends, strict=True)
    ]
    try:
        with terminal:
            while not over.is_set():
                changed.clear()
                size = terminal.size
                now, interval_s = watching.clock.now(), watching.interval_s
                page = screen(ends, width=size.columns, height=size.lines, now=now, interval_s=interval_s)
                terminal.show([paint(line) for line in page])
                await _until(over, LEAST_PAUSE_S)
                await _until(changed, interval_s)
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)
        for follower in followers:
            follower.cancel()
        await asyncio.gather(*followers, return_exceptions=True)
    return 0


async def snapshot(watching: Watching, to: Console) -> int:
    """Print one page, of two looks an interval apart; the exit code: 1 when a process can't be asked."""
    ends = [End(str(target)) for target in watching.targets]
    looks = (
        look_twice(target, end, tls=watching.tls, interval_s=watching.interval_s, clock=watching.clock)
        for target, end in zip(watching.targets, ends, strict=True)
    )
    await asyncio.gather(*looks)
    now = watching.clock.now()
    for line in screen(ends, width=to.width, height=None, now=now, interval_s=watching.interval_s):
        to.print(line, highlight=False, soft_wrap=True)
    return int(any(end.error for end in ends))


def painter(console: Console) -> Paint:
    """Makes lines with the escape sequences for the colours that the console has."""
    canvas = Console(
        file=io.StringIO(),
        force_terminal=True,
        color_system=console.color_system or "standard",  # type: ignore[arg-type]
        no_color=console.no_color,
        highlight=False,
        width=1 << 16,
    )

    def paint(line: Text) -> str:
        with canvas.capture() as captured:
            canvas.print(line, end="")
        return captured.get()

    return paint


async def _until(event: asyncio.Event, seconds: float) -> None:
    """Wait for the event, or so long."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
