"""The flags of `headway ctl`: whom they mean, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from types import CoroutineType
from typing import Any

import pytest
from typer.testing import CliRunner

from proxy.commands.ctl import make_ctl
from proxy.config import Config, load_config
from proxy.config.records import Role
from proxy.errors import ConfigError

FILE = """\
proxy: {daemons: ['gpu-host:4433'], ca: gone.pem, control_listen: '127.0.0.1:8009'}
daemon:
  cert: gone.pem
  key: gone.key
  tritons: {a: {url: 'localhost:8101'}}
  control_listen: '0.0.0.0:8010'
  control_tls: {cert: gone.pem, key: gone.key, client_ca: gone.pem}
"""
TLS = ["--ca", "ca.pem", "--cert", "me.pem", "--key", "me.key"]

Ctl = Callable[..., tuple[int, str]]


@pytest.fixture
def asked() -> list[str]:
    """What was run: the question and those whom it went to."""
    return []


@pytest.fixture
def ctl(tmp_path: Path, asked: list[str]) -> Ctl:
    """Run a command line: its exit code and what it wrote. Instead of asking, it notes what it would ask."""
    (tmp_path / "headway.yaml").write_text(FILE, encoding="utf-8")

    def load(path: Path | None, roles: tuple[Role, ...], *, check_files: bool) -> Config:
        return load_config(path, roles=roles, check_files=check_files)

    def run(question: Coroutine[Any, Any, int]) -> int:
        assert isinstance(question, CoroutineType)
        frame = question.cr_frame
        assert frame is not None
        values = {name: value for name, value in frame.f_locals.items() if name != "self"}
        asked.append(f"{question.__name__}{values or ''} {frame.f_locals['self']!r}")
        question.close()
        return 0

    app = make_ctl(load=load, run=run)

    def invoke(*arguments: str) -> tuple[int, str]:
        words = [str(tmp_path / word) if word == "headway.yaml" else word for word in arguments]
        result = CliRunner(env={"COLUMNS": "300", "HEADWAY_CONFIG": ""}).invoke(app, words)
        if isinstance(result.exception, ConfigError):
            return 1, str(result.exception)
        return result.exit_code, result.output

    return invoke


BOTH = "<Asking proxy at 127.0.0.1:8009, daemon at 127.0.0.1:8010>"


@pytest.mark.parametrize(
    ("arguments", "question"),
    [
        (
            ["status", "--at", "127.0.0.1:1", "--at", "[::1]:2"],
            "status{'as_json': False} <Asking 127.0.0.1:1, [::1]:2>",
        ),
        (["status", "--at", "gpu:1", "--json", *TLS], "status{'as_json': True} <Asking gpu:1>"),
        (
            ["status", "-c", "headway.yaml", "--role", "proxy", "--watch", "--interval", "5"],
            "watch{'interval_s': 5.0, 'as_json': False} <Asking proxy at 127.0.0.1:8009>",
        ),
        (["status", "-c", "headway.yaml", *TLS], f"status{{'as_json': False}} {BOTH}"),
        (["scheduler", "-c", "headway.yaml", *TLS], f"schedulers {BOTH}"),
        (["scheduler", "edf", "-c", "headway.yaml", *TLS], f"set_scheduler{{'name': 'edf'}} {BOTH}"),
        (["scheduler", "edf", "--at", "gpu:1", "-c", "headway.yaml"], "set_scheduler{'name': 'edf'} <Asking gpu:1>"),
        (["policy", "-c", "headway.yaml", *TLS], "policies <Asking daemon at 127.0.0.1:8010>"),
        (
            ["policy", "llm", "static:a", "-c", "headway.yaml", *TLS],
            "set_policy{'route': 'llm', 'policy': 'static:a'} <Asking daemon at 127.0.0.1:8010>",
        ),
        (["drain", "-c", "headway.yaml", "--role", "proxy"], "drain <Asking proxy at 127.0.0.1:8009>"),
        (["drain", "--at", "gpu:1", "--at", "gpu:2"], "drain <Asking gpu:1, gpu:2>"),
    ],
)
def test_whom_and_what(ctl: Ctl, asked: list[str], arguments: Sequence[str], question: str) -> None:
    assert ctl(*arguments) == (0, "")
    assert asked == [question]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["status"], "name an address, or a file that has it"),
        (["status", "--at", "gpu"], "'gpu' has no port; allowed: host:port"),
        (["status", "--at", "gpu:1", "--ca", "ca.pem"], "each needs the others"),
        (["status", "-c", "headway.yaml"], "daemon at 127.0.0.1:8010 asks for a certificate"),
        (["status", "-c", "headway.yaml", "--role", "client"], "'client' is none of proxy, daemon"),
        (["status", "--at", "gpu:1", "--watch", "--interval", "0"], "--interval"),
        (["policy", "llm", "--at", "gpu:1"], "name the policy too"),
        (["drain", "-c", "headway.yaml", *TLS], "the file has both roles"),
        (["undrain"], "No such command"),
    ],
)
def test_a_wrong_command_line_is_exit_code_2(
    ctl: Ctl, asked: list[str], arguments: Sequence[str], message: str
) -> None:
    code, output = ctl(*arguments)
    assert code == 2
    assert message in output
    assert asked == []


def test_a_file_that_has_no_address(ctl: Ctl, tmp_path: Path) -> None:
    (tmp_path / "headway.yaml").write_text("proxy: {daemons: ['gpu-host:4433']}\n", encoding="utf-8")
    code, output = ctl("status", "-c", "headway.yaml")
    assert (code, output.removeprefix(f"{tmp_path}/")) == (
        1,
        ("headway.yaml:1: proxy.control_listen: is not set; allowed: an address on loopback such as 127.0.0.1:8009"),
    )


@pytest.mark.parametrize("command", ["status", "scheduler", "policy", "drain"])
def test_help_teaches_by_example(ctl: Ctl, command: str) -> None:
    code, output = ctl(command, "--help")
    assert code == 0
    assert f"headway ctl {command} " in output


def test_help_says_what_the_exit_code_means(ctl: Ctl) -> None:
    for arguments in (["--help"], ["scheduler", "--help"]):
        assert "Exit code 0 when every process that was asked did it" in " ".join(ctl(*arguments)[1].split())
