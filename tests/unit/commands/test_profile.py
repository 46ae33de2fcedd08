"""`headway profile` as a user sees it; `tests/unit/profiling` has what it does."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from policies.profile_file import read_entries
from proxy.commands.profile import make_profile
from proxy.config import Config, load_config
from proxy.config.records import Role
from proxy.errors import ConfigError
from tests.unit.profiling.small_triton import SmallTriton, serving, text_model

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Of a server on a thread's loop, since the command has a loop of its own."""
    told: Future[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        end = asyncio.Event()
        async with serving(SmallTriton({"m": text_model(max_batch_size=2)})) as port:
            told.set_result((port, asyncio.get_running_loop(), end))
            await end.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    at, loop, end = told.result(5)
    yield at
    loop.call_soon_threadsafe(end.set)
    thread.join()


@pytest.fixture
def run(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in a directory with `headway.yaml`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    write_config(port)

    def load(path: Path | None, roles: tuple[Role, ...], *, check_files: bool) -> Config:
        return load_config(path, roles=roles, check_files=check_files)

    app = typer.Typer()
    app.command("profile")(make_profile(load=load, run=asyncio.run, now=lambda: datetime(2026, 5, 1, tzinfo=UTC)))

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(app, [*arguments, "--seconds", "0.1"])

    return invoke


def write_config(port: int) -> None:
    """The file of the `profile` key does not exist yet: it is what the command makes."""
    candidate = "{triton: a, model: m, quality: 1, profile: profiles/m.yaml}"
    Path("headway.yaml").write_text(
        "daemon:\n  cert: daemon.pem\n  key: daemon.key\n"
        f"  tritons: {{a: {{url: '127.0.0.1:{port}'}}}}\n"
        f"  routes: {{llm: {{policy: round_robin, candidates: [{candidate}]}}}}\n"
    )


def test_a_table_and_the_files(run: Run) -> None:
    result = run("-c", "headway.yaml", "--route", "llm", "--out", "profiles", "--sizes", "8,16", "--note", "Noisy.")
    assert result.exit_code == 0, result.output
    assert "payload of 16" in result.stdout
    assert "wrote profiles/m.yaml\n" in result.stdout
    [entry] = read_entries(Path("profiles/m.yaml"))
    assert [point.at for point in entry.points if point.kind == "size"] == [8, 16]
    assert entry.origin is not None
    assert entry.origin.at == "2026-05-01T00:00:00+00:00"
    assert entry.origin.notes[0] == "Noisy."
    assert "  m: Noisy.\n" in result.stdout


def test_json_alone_on_standard_output(run: Run) -> None:
    result = run("-c", "headway.yaml", "--route", "llm", "--out", "all.yaml", "--json")
    [found] = json.loads(result.stdout)
    assert (found["file"], found["model"]) == ("all.yaml", "m")
    assert list(found["latency"]) == ["1", "2"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--route", "llm"], "Missing option '--out'"),
        (["--route", "llm", "--out", "p"], "name the file that has the route"),
        (["-c", "headway.yaml", "--route", "llm", "--out", "p", "--sizes", "a"], "'a' is not a list of sizes"),
        (["-c", "headway.yaml", "--route", "llm", "--out", "p", "--shape", "a"], "'a' is not NAME:LENGTH"),
        (["-c", "headway.yaml", "--route", "llm", "--out", "p", "--value", "a"], "'a' is not NAME:VALUE"),
    ],
)
def test_a_wrong_command_line(run: Run, arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_route_that_is_not_there(run: Run) -> None:
    result = run("-c", "headway.yaml", "--route", "vision", "--out", "p")
    assert isinstance(result.exception, ConfigError)
    assert "headway.yaml:5: daemon.routes: there is no route vision; allowed: llm" in str(result.exception)
