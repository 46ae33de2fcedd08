"""How a program that an experiment has started answers it: a line of JSON on standard input, one on standard output."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Protocol


class _Program(Protocol):
    async def answer(self, command: dict[str, Any], /) -> dict[str, Any]: ...

    async def close(self) -> None: ...


async def serve_commands(make: Callable[[], _Program]) -> None:
    """Make a program, have it answer commands, and close it when there are no more."""
    program = make()
    await answer_commands(program.answer)
    await program.close()


async def answer_commands(answer: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]) -> None:
    """Say that it is ready, by an empty object, then answer each command until standard input ends."""
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    print(json.dumps({}), flush=True)
    async for line in commands:
        print(json.dumps(await answer(json.loads(line))), flush=True)
