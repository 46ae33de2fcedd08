from __future__ import annotations

from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from proxy.config import Override
from proxy.flags import FromCommandLine, takes_settings


def run(*arguments: str) -> tuple[int, FromCommandLine, bool, str]:
    """Exit code, what the command got, and what was printed."""
    app = typer.Typer()
    got: list[tuple[FromCommandLine, bool]] = []

    @app.command()
    @takes_settings("proxy")
    def command(settings: FromCommandLine, *, quiet: Annotated[bool, typer.Option("--quiet")] = False) -> None:
        """Do nothing."""
        got.append((settings, quiet))

    result = CliRunner().invoke(app, list(arguments))
    settings, quiet = got[0] if got else (FromCommandLine(), False)
    return result.exit_code, settings, quiet, result.output


def test_nothing_given_is_nothing_set() -> None:
    assert run()[:3] == (0, FromCommandLine(()), False)


def test_flags_become_overrides_and_set_comes_last() -> None:
    code, settings, quiet, _ = run(
        "--set", "classes.bulk.deadline=9s", "--listen", "127.0.0.1:1", "--tls-cert", "c.pem", "--quiet"
    )
    assert (code, quiet) == (0, True)
    assert settings.overrides == (
        Override("proxy.listen", "127.0.0.1:1", "--listen"),
        Override("proxy.tls.cert", "c.pem", "--tls-cert"),
        Override("classes.bulk.deadline", "9s", "--set classes.bulk.deadline"),
    )


def test_a_value_may_hold_equals_signs() -> None:
    assert run("--set", "a.b=c=d")[1].overrides == (Override("a.b", "c=d", "--set a.b"),)


@pytest.mark.parametrize("text", ["a.b", "=x", "a..b=x", ".a=x"])
def test_what_is_no_assignment_is_a_usage_error(text: str) -> None:
    code, _, _, output = run("--set", text)
    assert code == 2
    assert "is not KEY=VALUE" in output


def test_the_help_lists_them() -> None:
    code, _, _, output = run("--help")
    assert code == 0
    assert "--congestion-control" in output
    assert "Do nothing." in output
