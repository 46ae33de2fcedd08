"""What a user sees of the command line: output, errors and exit codes."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import pytest

from policies.scheduling.registry import SCHEDULERS
from proxy.cli import load, main, run_async
from proxy.commands.certs import NAMES
from proxy.config.load import ROLES
from proxy.errors import ConfigError
from proxy.testing.ports import free_port

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Run]:
    """Run `headway` in a directory of its own: exit code, standard output, standard error."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run_main(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["headway", *arguments])
        with pytest.raises(SystemExit) as exited:
            main()
        captured = capsys.readouterr()
        code = exited.value.code
        return code if isinstance(code, int) else 0, captured.out, captured.err

    yield run_main
    # What a command set up writes to this test's standard error, which is closed after it.
    root.handlers[:] = handlers
    root.setLevel(level)


def test_version(run: Run) -> None:
    assert run("--version") == (0, f"headway {metadata.version('headway')}\n", "")


def test_without_a_command_there_is_help(run: Run) -> None:
    _, out, err = run()
    for command in ("proxy", "daemon", "demo", "check", "certs", "ctl"):
        assert command in out + err


@pytest.mark.parametrize(
    ("command", "example"),
    [
        ("proxy", "headway proxy -c headway.yaml"),
        ("daemon", "headway daemon -c headway.yaml"),
        ("check", "headway check -c headway.yaml"),
        ("certs", "headway certs --out certs"),
        ("demo", "headway demo --keep"),
        ("trace", "headway trace headway-traces.jsonl"),
    ],
)
def test_help_teaches_by_example(run: Run, command: str, example: str) -> None:
    code, out, err = run(command, "--help")
    assert (code, err) == (0, "")
    assert example in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prxy"], "No such command"),
        (["proxy", "--lisen", "x"], "No such option"),
        (["proxy", "--set", "x"], "is not KEY=VALUE"),
        (["proxy", "--log-level", "loud"], "is none of debug, info, warning, error"),
        (["check"], "name the file to check"),
        (["check", "-c", "x", "--role", "client"], "'client' is neither of proxy, daemon"),
        (["certs"], "--out"),
        (["demo", "--seconds", "0"], "--seconds"),
        (["ctl", "status"], "name an address"),
    ],
)
def test_a_wrong_command_line_is_exit_code_2(run: Run, arguments: list[str], message: str) -> None:
    code, _, err = run(*arguments)
    assert code == 2
    assert message in err


@pytest.mark.parametrize("role", ROLES)
def test_a_configuration_that_cannot_be_used_is_lines_and_exit_code_1(run: Run, role: str) -> None:
    Path("headway.yaml").write_text("schedular: edf\nproxy: {daemons: []}\ndaemon: {cert: gone}\n", encoding="utf-8")
    code, out, err = run(role, "-c", "headway.yaml", "--scheduler", "fair")
    assert (code, out) == (1, "")
    assert [line.split(": ")[0] for line in err.splitlines()][:2] == ["headway.yaml:1", "headway.yaml:2"]
    assert (
        err.splitlines()[-1] == f"--scheduler: scheduler: 'fair' is not a scheduler; allowed: {', '.join(SCHEDULERS)}"
    )


def test_variables_count(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWAY_CONFIG", "headway.yaml")
    monkeypatch.setenv("HEADWAY_PROXY__DRAIN", "soon")
    Path("headway.yaml").write_text("proxy: {daemons: ['gpu:1']}\n", encoding="utf-8")
    code, _, err = run("proxy")
    assert (code, err) == (
        1,
        (
            "HEADWAY_PROXY__DRAIN: proxy.drain: 'soon' is not a duration; "
            "allowed: a duration such as 50ms, 1.8s or 2m, 0 or more\n"
        ),
    )


def test_ctl_reads_the_file_and_asks_there(run: Run) -> None:
    address = f"127.0.0.1:{free_port()}"
    Path("headway.yaml").write_text(
        f"proxy: {{daemons: ['gpu:1'], ca: not-here.pem, control_listen: '{address}'}}\n", encoding="utf-8"
    )
    code, out, err = run("ctl", "scheduler", "edf", "-c", "headway.yaml")
    assert (code, out) == (1, "")
    assert err.startswith(f"headway: proxy at {address}: ")
    assert "Connection refused" in err
    assert err.count("\n") == 1


def test_certs_then_check(run: Run) -> None:
    code, out, err = run("certs", "--out", "certs", "--host", "gpu-host")
    assert (code, err) == (0, "")
    assert out.splitlines() == [f"certs/{name}" for name in NAMES]
    Path("headway.yaml").write_text(
        "proxy: {daemons: ['gpu-host:4433'], ca: certs/ca.pem, token_file: certs/token}\n"
        "daemon:\n  cert: certs/daemon.pem\n  key: certs/daemon.key\n  token_file: certs/token\n"
        "  listen: 0.0.0.0:4433\n  tritons: {a: {url: 'localhost:8101'}}\n",
        encoding="utf-8",
    )
    assert run("check", "-c", "headway.yaml", "--offline") == (
        0,
        "headway.yaml: no problem found, network left out\n",
        "",
    )
    assert run("certs", "--out", "certs") == (
        1,
        "",
        f"headway: certs has {', '.join(NAMES)} already; --force replaces them\n",
    )
    assert run("certs", "--out", "certs", "--force")[0] == 0
    code, out, _ = run("check", "-c", "headway.yaml", "--offline")
    assert code == 1
    assert out.startswith("headway.yaml:1: proxy.daemons: daemon.cert is not for 'gpu-host'; ")


def test_check_answers_programs_in_json(run: Run) -> None:
    Path("headway.yaml").write_text("proxy: {daemons: ['gpu']}\n", encoding="utf-8")
    code, out, err = run("check", "-c", "headway.yaml", "--json", "--offline")
    assert (code, err) == (1, "")
    assert json.loads(out) == {
        "file": "headway.yaml",
        "problems": [
            (
                "headway.yaml:1: proxy.daemons[0]: 'gpu' has no port; "
                "allowed: host:port, port 1 to 65535, IPv6 as [::1]:port in quotes, "
                "or dns:///host:port for all addresses of a name"
            )
        ],
        "notes": [],
    }


def test_check_notes_what_does_less_than_may_be_expected(run: Run) -> None:
    for name in ("cert.pem", "key.pem"):
        Path(name).write_text("-", encoding="utf-8")
    Path("headway.yaml").write_text(
        "daemon:\n  cert: cert.pem\n  key: key.pem\n  tritons: {a: {url: 'localhost:1'}}\n"
        "  routes: {llm: {policy: dqn, candidates: [{triton: a, model: m, quality: 1}]}}\n",
        encoding="utf-8",
    )
    what = "dqn decides as greedy does while a candidate has no profile"
    note = f"headway.yaml:5: daemon.routes.llm.policy: {what}"
    _, out, _ = run("check", "-c", "headway.yaml", "--offline")
    assert out.splitlines()[-1] == f"note: {note}"
    _, out, _ = run("check", "-c", "headway.yaml", "--offline", "--json")
    assert json.loads(out)["notes"] == [note]


def test_check_for_one_machine_leaves_out_the_others_files(run: Run) -> None:
    Path("headway.yaml").write_text(
        "proxy: {daemons: ['gpu:1']}\n"
        "daemon: {cert: /gone/daemon.pem, key: /gone/daemon.key, tritons: {a: {url: 'localhost:8101'}}}\n",
        encoding="utf-8",
    )
    assert run("check", "-c", "headway.yaml", "--role", "proxy", "--offline")[0] == 0
    assert run("check", "-c", "headway.yaml", "--role", "daemon", "--offline")[0] == 1


def test_load_knows_what_this_version_has(tmp_path: Path) -> None:
    path = tmp_path / "headway.yaml"
    path.write_text("scheduler: none\nproxy: {daemons: ['gpu:1'], congestion_control: vegas}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load(path, ("proxy",))
    assert [line.partition("; allowed: ")[2] for line in error.value.problems] == [
        ", ".join(SCHEDULERS),
        "reno, cubic, bbr",
    ]


def test_commands_run_on_uvloop() -> None:
    async def loop_module() -> str:
        return type(asyncio.get_running_loop()).__module__

    assert run_async(loop_module()) == "uvloop"
