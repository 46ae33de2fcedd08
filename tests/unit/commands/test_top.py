"""The flags of `headway top`, and when it is one page."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from types import CoroutineType
from typing import Any

import pytest
from typer import Typer
from typer.testing import CliRunner

from proxy.commands.top import EPILOG, make_top
from proxy.config import Config, load_config
from proxy.config.records import Role

FILE = """\
proxy: {daemons: ['gpu-host:4433'], ca: gone.pem, control_listen: '127.0.0.1:8009'}
daemon:
  cert: gone.pem
  key: gone.key
  tritons: {a: {url: 'localhost:8101'}}
  control_listen: '127.0.0.1:8010'
"""

Top = Callable[..., tuple[int, str]]


@pytest.fixture
def asked() -> list[str]:
    """What was run, on whom, how often."""
    return []


@pytest.fixture
def top(tmp_path: Path, asked: list[str]) -> Top:
    """Run a command line: its exit code and what it wrote. Nobody is looked at."""
    (tmp_path / "headway.yaml").write_text(FILE, encoding="utf-8")

    def load(path: Path | None, roles: tuple[Role, ...], *, check_files: bool) -> Config:
        return load_config(path, roles=roles, check_files=check_files)

    def run(view: Coroutine[Any, Any, int]) -> int:
        assert isinstance(view, CoroutineType)
        frame = view.cr_frame
        assert frame is not None
        watching = frame.f_locals["watching"]
        console = frame.f_locals.get("to")
        width = "" if console is None else f" {console.width}"
        whom = ", ".join(map(str, watching.targets))
        asked.append(f"{view.__name__} {whom} {watching.interval_s:g} s{width}")
        view.close()
        return 0

    app = Typer()
    app.command(epilog=EPILOG)(make_top(load=load, run=run))

    def invoke(*arguments: str, **environment: str) -> tuple[int, str]:
        words = [str(tmp_path / word) if word == "headway.yaml" else word for word in arguments]
        result = CliRunner(env={"HEADWAY_CONFIG": "", "COLUMNS": None, **environment}).invoke(app, words)
        return result.exit_code, result.output

    return invoke


@pytest.mark.parametrize(
    ("arguments", "view"),
    [
        (["-c", "headway.yaml"], "snapshot proxy at 127.0.0.1:8009, daemon at 127.0.0.1:8010 1 s"),
        (["-c", "headway.yaml", "--role", "daemon", "--once"], "snapshot daemon at 127.0.0.1:8010 1 s"),
        (["--at", "gpu:1", "--target", "[::1]:2", "--interval", "250ms"], "snapshot gpu:1, [::1]:2 0.25 s"),
        (["--at", "gpu:1", "--interval", "2"], "snapshot gpu:1 2 s"),
    ],
)
def test_without_a_terminal_it_is_one_page(top: Top, asked: list[str], arguments: list[str], view: str) -> None:
    assert top(*arguments) == (0, "")
    assert asked == [f"{view} 120"]


def test_the_width_of_a_page_may_be_said(top: Top, asked: list[str]) -> None:
    assert top("--at", "gpu:1", COLUMNS="77") == (0, "")
    assert asked == ["snapshot gpu:1 1 s 77"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name an address, or a file that has it"),
        (["--at", "gpu"], "'gpu' has no port"),
        (["--at", "gpu:1", "--interval", "10ms"], "10ms is not from 100ms to 1h"),
        (["--at", "gpu:1", "--interval", "2h"], "2h is not from 100ms to 1h"),
        (["--at", "gpu:1", "--interval", "soon"], "'soon' is not a duration"),
        (["--at", "gpu:1", "--ca", "ca.pem"], "each needs the others"),
    ],
)
def test_a_wrong_command_line_is_exit_code_2(top: Top, asked: list[str], arguments: list[str], message: str) -> None:
    code, output = top(*arguments, COLUMNS="300")
    assert code == 2
    assert message in output
    assert asked == []


def test_help_teaches_by_example(top: Top) -> None:
    code, output = top("--help", COLUMNS="200")
    assert code == 0
    assert "headway top -c headway.yaml" in output
    assert "Exit code 0 when it was quit" in output
