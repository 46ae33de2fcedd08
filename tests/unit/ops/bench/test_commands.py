"""A program that answers commands, line by line."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import asyncio
from ops.bench.commands import answer_commands

async def answer(command):
    return {"twice": 2 * command["number"]}

asyncio.run(answer_commands(answer))
"""


def test_it_says_that_it_is_ready_and_answers_until_its_input_ends() -> None:
    commands = "".join(json.dumps({"number": number}) + "\n" for number in (1, 21))
    run = subprocess.run([sys.executable, "-c", PROGRAM], input=commands, capture_output=True, text=True, check=True)
    assert [json.loads(line) for line in run.stdout.splitlines()] == [{}, {"twice": 2}, {"twice": 42}]
