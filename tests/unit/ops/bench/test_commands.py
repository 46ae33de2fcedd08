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

SERVING = """
import asyncio
from ops.bench.commands import serve_commands

class Program:
    async def answer(self, command):
        return {"asked": command}

    async def close(self):
        print('"closed"')

asyncio.run(serve_commands(Program))
"""


def test_it_says_that_it_is_ready_and_answers_until_its_input_ends() -> None:
    commands = "".join(json.dumps({"number": number}) + "\n" for number in (1, 21))
    run = subprocess.run([sys.executable, "-c", PROGRAM], input=commands, capture_output=True, text=True, check=True)
    assert [json.loads(line) for line in run.stdout.splitlines()] == [{}, {"twice": 2}, {"twice": 42}]


def test_a_program_is_closed_after_the_last_command() -> None:
    run = subprocess.run([sys.executable, "-c", SERVING], input="{}\n", capture_output=True, text=True, check=True)
    assert [json.loads(line) for line in run.stdout.splitlines()] == [{}, {"asked": {}}, "closed"]
