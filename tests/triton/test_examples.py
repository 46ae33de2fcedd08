"""The examples as a user runs them, against `headway demo --keep`."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("[0-9]*.py"))
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The proxy of a demo that goes on until its Ctrl-C, which ends it with 0."""
    folder = tmp_path_factory.mktemp("kept")
    demo = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy.cli", "demo", "--keep", "--seconds", "1"),
        cwd=folder,
        env=ENVIRONMENT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert demo.stdout is not None
    output = ""
    async with asyncio.timeout(90):
        while (running := re.search(r"Running on (\S+) until Ctrl-C", output)) is None:
            line = await demo.stdout.readline()
            assert line, output
            output += line.decode()
    yield running[1]
    demo.send_signal(signal.SIGINT)
    async with asyncio.timeout(20):
        output += (await demo.stdout.read()).decode()
        assert await demo.wait() == 0, output
    assert (folder / "headway-traces.jsonl").stat().st_size > 0


async def run(name: str, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(ROOT / "examples" / name), *arguments),
        env=ENVIRONMENT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


@pytest.mark.parametrize("name", EXAMPLES)
async def test_help(name: str) -> None:
    assert f"usage: {name}" in await run(name, "--help")


@pytest.mark.asyncio(loop_scope="module")
async def test_an_unchanged_client(url: str) -> None:
    output = await run("01_unchanged_client.py", "--url", url, "--tokens", "10")
    ready, inputs, model, completion = output.split("\n", 3)
    assert ready == "server ready: True"
    assert inputs == "inputs: PROMPT, MAX_TOKENS, TEMPERATURE, SEED"
    assert model == "model: llm"
    assert completion.startswith("The for statement is used to ")
    assert len(completion.removesuffix("\n")) == len("The for statement is used to ") + 10


@pytest.mark.asyncio(loop_scope="module")
async def test_traffic_classes(url: str) -> None:
    output = await run("02_traffic_classes.py", "--url", url, "--deadline-ms", "5000")
    by_class, trailers = output.split("\n\n")
    assert re.fullmatch(
        r"bulk: 160 bytes from llm-\w+\nstandard: 48 bytes from llm-\w+\nrealtime: 16 bytes from llm-\w+", by_class
    )
    seen = dict(line.split(": ") for line in trailers.splitlines())
    assert seen["x-headway-class"] == "realtime"
    assert seen["x-headway-model"] in {"llm-small", "llm-medium", "llm-large"}
    assert seen["x-headway-instance"] == "a"
    assert seen["x-headway-policy"] == "dqn"
    assert 0 < float(seen["x-headway-slack-ms"]) < 5000


@pytest.mark.asyncio(loop_scope="module")
async def test_streaming(url: str) -> None:
    output = await run("03_streaming.py", "--url", url, "--tokens", "40")
    assert output.startswith("An exception is raised when ")
    assert re.search(r"\n40 tokens from llm-stream-(small|medium|large)\n", output)


async def test_any_grpc_service() -> None:
    assert await run("04_any_grpc_service.py") == (
        "directly:           b'HELLO'\n"
        "directly:           INVALID_ARGUMENT: nothing to shout\n"
        "directly:           b'you said good morning'\n"
        "directly:           b'you said is anybody there'\n"
        "directly:           farewell: good bye\n"
        "through the tunnel: b'HELLO'\n"
        "through the tunnel: INVALID_ARGUMENT: nothing to shout\n"
        "through the tunnel: b'you said good morning'\n"
        "through the tunnel: b'you said is anybody there'\n"
        "through the tunnel: farewell: good bye\n"
    )
