from __future__ import annotations

from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from proxy.commands.many_values import ManyValues, spread


@pytest.mark.parametrize(
    ("given", "spread_out"),
    [
        (["--many", "a", "b", "--one", "c"], ["--many", "a", "--many", "b", "--one", "c"]),
        (["--many", "a", "--many", "b"], ["--many", "a", "--many", "b"]),
        (["--one", "a", "b"], ["--one", "a", "b"]),
        (["-m", "a", "b", "c"], ["-m", "a", "-m", "b", "-m", "c"]),
        (["--many", "a", "--", "b", "--many", "c", "d"], ["--many", "a", "--", "b", "--many", "c", "d"]),
        (["--many=a", "b"], ["--many=a", "b"]),
        ([], []),
    ],
)
def test_a_flag_is_repeated_before_each_of_its_values(given: list[str], spread_out: list[str]) -> None:
    assert spread(given, {"--many", "-m"}) == spread_out


def test_a_command_gets_all_values_of_the_options_that_may_be_repeated() -> None:
    app = typer.Typer()

    @app.command(cls=ManyValues)
    def show(
        names: Annotated[list[str] | None, typer.Option()] = None,
        count: Annotated[int, typer.Option()] = 0,
    ) -> None:
        typer.echo(f"{names} {count}")

    assert CliRunner().invoke(app, ["--names", "a", "b", "--count", "3"]).output == "['a', 'b'] 3\n"
    assert CliRunner().invoke(app, ["--count", "3", "4"]).exit_code == 2
