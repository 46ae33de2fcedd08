"""Programs that an experiment starts: waits until they are ready, keeps their output, stops them by their pid."""

from __future__ import annotations

import asyncio
import asyncio.subprocess
import contextlib
import json
import os
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy import tasks
from proxy.children import send_signal

ROOT = Path(__file__).parents[2]

TAIL_LINES = 12
"""How much of a program's output an error quotes."""

_LINE_BYTES = 1 << 20
"""Longest line of output that is read; a load result stays under a kilobyte."""


class ChildError(Exception):
    """A program did not start, ended early or is silent. The text has the end of what it wrote."""


class CommandError(ChildError):
    """A program has answered a command with an error, which is the text."""


def starts_json(line: str) -> bool:
    """Whether a line is what our own programs write: a JSON object."""
    return line.startswith("{")


def listens(line: str) -> bool:
    """Whether headway says with this line that it is ready."""
    return " listens on " in line


@dataclass(slots=True)
class Child:
    """A running program."""

    name: str
    process: asyncio.subprocess.Process
    ready_line: str
    """What it wrote when it was ready."""
    tail: deque[str]
    lines: asyncio.Queue[str]
    """What it wrote since, where it was started with `talks`; an empty line marks its end."""

    def write(self, line: str) -> None:
        """Send it a line, where it was started with `talks`."""
        assert self.process.stdin is not None  # noqa: S101 -- asked for in started()
        self.process.stdin.write(line.encode() + b"\n")

    async def ask(self, command: Mapping[str, Any], *, limit_s: float | None = None) -> dict[str, Any]:
        """Its answer to a command (`ops.bench.commands`), where it was started with `talks`.

        Raises `CommandError` for an answer that is an error, `ChildError` when it ends instead or takes longer.
        """
        self.write(json.dumps(command))
        try:
            async with asyncio.timeout(limit_s):
                while not starts_json(line := await self.lines.get()):
                    if not line and (ended := self.ended()) is not None:
                        raise ended
        except TimeoutError:
            tail = "\n".join(self.tail)
            raise ChildError(f"{self.name} has not answered after {limit_s:g} s:\n{tail}") from None
        answer: dict[str, Any] = json.loads(line)
        if error := answer.get("error"):
            raise CommandError(error)
        return answer

    @property
    def pid(self) -> int:
        """Its process id, also after its end."""
        return self.process.pid

    def ended(self) -> ChildError | None:
        """The error for a program that should still run; None while it does."""
        if self.process.returncode is None:
            return None
        return ChildError(f"{self.name} ended with {self.process.returncode}:\n" + "\n".join(self.tail))


def python(module: str, *arguments: str) -> list[str]:
    """The command line of one of our own modules."""
    return [sys.executable, "-m", module, *arguments]


@contextlib.asynccontextmanager
async def started(
    name: str,
    command: Sequence[str],
    *,
    log: Path,
    ready: Callable[[str], bool] = starts_json,
    environment: Mapping[str, str] | None = None,
    talks: bool = False,
    start_timeout_s: float = 15.0,
    stop_timeout_s: float = 10.0,
) -> AsyncIterator[Child]:
    """Run `command` until the block ends, then SIGTERM, and SIGKILL after `stop_timeout_s`.

    The block begins when a line of its output (both streams together) satisfies `ready`. Its output goes to `log`.
    With `talks` it reads lines from `Child.write`, and `Child.lines` has what it wrote after it was ready.
    It runs in a session of its own, so that Ctrl-C reaches the experiment alone, which then stops it in order.
    Raises `ChildError` when it ends before it is ready, or is not ready in time.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
        stdin=asyncio.subprocess.PIPE if talks else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=_LINE_BYTES,
        start_new_session=True,
    )
    child = Child(name, process, "", deque(maxlen=TAIL_LINES), asyncio.Queue())
    became_ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    keeper = tasks.spawn(_keep_output(child, log, ready, became_ready, talks=talks), name=f"output of {name}")
    try:
        try:
            async with asyncio.timeout(start_timeout_s):
                child.ready_line = await became_ready
        except TimeoutError:
            tail = "\n".join(child.tail)
            raise ChildError(f"{name} was not ready after {start_timeout_s:g} s:\n{tail}") from None
        yield child
    finally:
        await stop(process, timeout_s=stop_timeout_s)
        await asyncio.wait([keeper], timeout=stop_timeout_s)
        if not keeper.done():  # what the program had started still has its output
            _kill_session(process)
        await keeper
        if became_ready.done() and not became_ready.cancelled():
            became_ready.exception()  # read, so that an early end beside another error is not reported twice


@dataclass(frozen=True, slots=True)
class Program:
    """One of several programs that are started together."""

    command: Sequence[str]
    log: Path
    """Where its output goes."""
    ready: Callable[[str], bool] = starts_json
    """Whether it says with this line that it is ready."""
    talks: bool = False
    """Whether it reads commands."""


@contextlib.asynccontextmanager
async def started_together(
    programs: Mapping[str, Program], *, environment: Mapping[str, str] | None = None, start_timeout_s: float = 15.0
) -> AsyncIterator[dict[str, Child]]:
    """Run programs until the block ends, which begins when all of them are ready: the children, by the same names.

    Raises `ChildError`, the first one's, when any does not start; the others have ended then.
    """
    async with contextlib.AsyncExitStack() as stack:
        children: dict[str, Child] = {}

        async def start(name: str, program: Program) -> None:
            children[name] = await stack.enter_async_context(
                started(
                    name,
                    program.command,
                    log=program.log,
                    ready=program.ready,
                    environment=environment,
                    talks=program.talks,
                    start_timeout_s=start_timeout_s,
                )
            )

        try:
            async with asyncio.TaskGroup() as group:
                for name, program in programs.items():
                    group.create_task(start(name, program), name=f"start {name}")
        except* ChildError as failed:
            raise failed.exceptions[0] from None
        yield {name: children[name] for name in programs}


async def _keep_output(
    child: Child, log: Path, ready: Callable[[str], bool], became_ready: asyncio.Future[str], *, talks: bool
) -> None:
    assert child.process.stdout is not None  # noqa: S101 -- asked for in started()
    with log.open("ab") as kept:
        async for line in child.process.stdout:
            kept.write(line)
            kept.flush()
            text = line.decode(errors="replace").rstrip()
            child.tail.append(text)
            if not became_ready.done():
                if ready(text):
                    became_ready.set_result(text)
            elif talks and text:
                child.lines.put_nowait(text)
    await child.process.wait()
    child.lines.put_nowait("")
    if not became_ready.done():
        became_ready.set_exception(child.ended() or ChildError(f"{child.name} closed its output"))


async def stop(process: asyncio.subprocess.Process, *, timeout_s: float) -> None:
    """SIGTERM, and SIGKILL after `timeout_s`; returns when the process is gone. Finishes also when cancelled.

    For a process with a session of its own. asyncio takes it for gone when nobody has the other end of its pipes any
    more: what it has started and left running there counts as well, and is killed with it.
    """
    send_signal(process, signal.SIGTERM)
    try:
        async with asyncio.timeout(timeout_s):
            await process.wait()
    except TimeoutError:
        await _kill(process)
    except asyncio.CancelledError:
        await _kill(process)
        raise


async def _kill(process: asyncio.subprocess.Process) -> None:
    _kill_session(process)
    await process.wait()


def _kill_session(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
