"""`headway demo` as a user runs it: the command, as a process, with a pipe for a terminal."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


class Demo:
    """A running `headway demo` whose temporary files are under `folder`."""

    def __init__(self, folder: Path, process: asyncio.subprocess.Process) -> None:
        self.folder = folder
        self.process = process
        self.output = ""

    @classmethod
    async def start(cls, folder: Path, *arguments: str) -> Demo:
        (folder / "tmp").mkdir()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy.cli", "demo", "--traces-file", str(folder / "traces.jsonl"), *arguments),
            cwd=folder,
            env={**environment, "TMPDIR": str(folder / "tmp"), "PYTHONPATH": str(ROOT), "COLUMNS": "160"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        return cls(folder, process)

    async def read_until(self, text: str) -> None:
        """Read the output until `text` is in it."""
        assert self.process.stdout is not None
        async with asyncio.timeout(60):
            while text not in self.output:
                piece = await self.process.stdout.read(4096)
                assert piece, f"ended before {text!r}:\n{self.output}"
                self.output += piece.decode()

    async def wait(self) -> int:
        """Its exit code, once it has ended."""
        assert self.process.stdout is not None
        async with asyncio.timeout(90):
            self.output += (await self.process.stdout.read()).decode()
            return await self.process.wait()

    def left_behind(self) -> list[str]:
        """Processes, shared memory and temporary files that should be gone."""
        marks = (str(self.folder / "tmp"), f"headway-{self.process.pid}-")
        left = [str(path) for path in (self.folder / "tmp").iterdir()]
        left += [str(path) for path in Path("/dev/shm").glob(f"{marks[1]}*")]
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                command = process.read_text().replace("\0", " ")
            except (FileNotFoundError, ProcessLookupError):
                continue
            left += [command for mark in marks if mark in command]
        return left


def spans_by_trace(file: Path) -> dict[str, set[tuple[str, int]]]:
    """Service and kind of the spans of each trace."""
    traces = defaultdict(set)
    for line in file.read_text().splitlines():
        for resource_spans in json.loads(line)["resourceSpans"]:
            attributes = {one["key"]: one["value"] for one in resource_spans["resource"]["attributes"]}
            for span in resource_spans["scopeSpans"][0]["spans"]:
                service = attributes["service.name"]["stringValue"]
                traces[span["traceId"].lower()].add((service, span["kind"]))
    return traces


async def test_the_demo_from_start_to_end(tmp_path: Path) -> None:
    demo = await Demo.start(tmp_path, "--seconds", "3")
    assert await demo.wait() == 0, demo.output
    assert demo.left_behind() == []

    rows = re.findall(
        r"^(realtime|standard|bulk) +\d s +(\d+) +(\d+) +(\d+) +(\d+) %.*((?:small|medium|large) \d+.*)$",
        demo.output,
        re.MULTILINE,
    )
    assert [row[0] for row in rows] == ["realtime", "standard", "bulk"], demo.output
    assert all(sent == answered and failed == "0" for _, sent, answered, failed, _, _ in rows), demo.output
    completions = demo.output.partition("Completions:")[2]
    assert re.search(r"realtime +The for statement is used to .+\[llm-(small|medium|large)\]", completions)
    assert re.search(r"realtime +A list is a .{64} +\[llm-stream-(small|medium|large)\]", completions)

    server, client = 2, 3
    whole = {
        ("headway-proxy", server),
        ("headway-proxy", client),
        ("headway-daemon", server),
        ("headway-daemon", client),
        ("triton-inference-server", server),
    }
    assert str(tmp_path / "traces.jsonl") in demo.output
    assert any(spans == whole for spans in spans_by_trace(tmp_path / "traces.jsonl").values())
    # Of Triton's spans the file must hold some; that a certain request has them Triton does not promise.
    for row in ("proxy ModelInfer", "proxy → ModelInfer", "daemon ModelInfer", "· uplink transfer", "· delivery"):
        assert row in completions

    commands = next_commands(demo.output)
    assert len(commands) == 3
    for command in commands:
        program, *_ = shlex.split(command)
        assert shutil.which(program), command


async def test_a_demo_that_is_kept_up_ends_when_triton_dies(tmp_path: Path) -> None:
    demo = await Demo.start(tmp_path, "--keep", "--seconds", "1")
    await demo.read_until("until Ctrl-C")
    for command in next_commands(demo.output):
        process = await asyncio.create_subprocess_shell(
            command, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        async with asyncio.timeout(30):
            output, _ = await process.communicate()
        assert process.returncode == 0, f"{command}: {output.decode()}"
    os.kill(process_id("--model-repository", tmp_path), signal.SIGKILL)
    assert await demo.wait() == 1
    assert "headway: Triton ended with status -9; the end of its log:" in demo.output
    assert demo.left_behind() == []


@pytest.mark.parametrize("moment", ["Starting Triton", "stock tritonclient"])
async def test_ctrl_c_leaves_nothing_running(tmp_path: Path, moment: str) -> None:
    demo = await Demo.start(tmp_path, "--seconds", "30")
    await demo.read_until(moment)
    demo.process.send_signal(signal.SIGINT)
    demo.process.send_signal(signal.SIGINT)
    assert await demo.wait() == 130, demo.output
    assert demo.output.endswith("Interrupted; everything is stopped.\n")
    assert demo.left_behind() == []


async def test_a_process_that_dies_ends_the_demo_with_its_log(tmp_path: Path) -> None:
    demo = await Demo.start(tmp_path, "--seconds", "30")
    await demo.read_until("stock tritonclient")
    os.kill(process_id("daemon", tmp_path), signal.SIGKILL)
    assert await demo.wait() == 1
    assert "the daemon ended with status -9" in demo.output
    assert demo.left_behind() == []


def next_commands(output: str) -> list[str]:
    """What the demo proposes to type, each with a line below it that says what it does."""
    return re.findall(r"^  (\S.*)\n      \S", output.partition("\nNext:")[2], re.MULTILINE)


def process_id(argument: str, folder: Path) -> int:
    """A process of the demo in `folder` by an argument of its command, or what that begins with."""
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        arguments = process.read_bytes().decode(errors="replace").split("\0")
        if any(one.startswith(argument) for one in arguments) and any(str(folder) in one for one in arguments):
            return int(process.parent.name)
    raise AssertionError(f"no {argument} is running")
