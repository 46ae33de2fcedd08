"""What can be seen without Triton; `tests/triton/test_demo.py` runs the whole."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest
from rich.console import Console

from proxy.demo.demo import DemoSettings, Stack, run_until_interrupted
from proxy.demo.processes import DemoError, HeadwayProcess


def stack(folder: Path, *processes: HeadwayProcess) -> Stack:
    return Stack("127.0.0.1:8001", folder / "headway.yaml", folder / "traces.jsonl", 0, processes)


@pytest.fixture
def never_ready(tmp_path: Path) -> HeadwayProcess:
    """A proxy that ends at once, because its configuration is wrong."""
    config = tmp_path / "headway.yaml"
    config.write_text("proxi: {}\n")
    return HeadwayProcess("proxy", config)


async def answer() -> int:
    return 42


async def test_guarded_work_ends_as_it_would_alone(tmp_path: Path) -> None:
    async def fail() -> None:
        raise DemoError("no request was answered")

    async with HeadwayProcess("proxy", tmp_path / "headway.yaml") as process:
        assert await stack(tmp_path, process).guarded(answer()) == 42
        with pytest.raises(DemoError, match="no request was answered"):
            await stack(tmp_path, process).guarded(fail())


async def test_work_does_not_outlive_a_process_that_it_needs(tmp_path: Path, never_ready: HeadwayProcess) -> None:
    async with never_ready, asyncio.timeout(20):
        with pytest.raises(DemoError, match="the proxy ended with status 1"):
            await stack(tmp_path, never_ready).guarded(asyncio.Event().wait())


async def test_a_traces_file_that_cannot_be_written(tmp_path: Path) -> None:
    settings = DemoSettings(traces_file=tmp_path / "missing" / "traces.jsonl")
    with pytest.raises(DemoError, match=r"traces\.jsonl cannot be written: No such file or directory"):
        await run_until_interrupted(settings, Console(file=io.StringIO()))
