"""Makes a run and draws the pictures of it; see the package."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from ops.pictures.dashboard import draw as draw_dashboard
from ops.pictures.run import SCRAPES, SECONDS, TOP, TOP_COLUMNS, TRACE, TRACE_COLUMNS, RunSettings, run
from ops.pictures.scrapes import Scrapes
from ops.pictures.terminal import draw, lines_of
from proxy.errors import HeadwayError

HERE = Path(__file__).parent
ROWS = ("Deadlines", "Models", "Tunnel")
"""Of the dashboard; the others are there for the case that something is wrong."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def pictures(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the pictures go.")] = HERE,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="Keep there what they are drawn from.")] = None,
    seconds: Annotated[float, typer.Option(min=15, help="How long to send load.")] = SECONDS,
    row: Annotated[
        list[str] | None, typer.Option(metavar="TITLE", help="A row of the dashboard, instead of the first three.")
    ] = None,
    *,
    again: Annotated[bool, typer.Option("--again", help="Draw what --data has, without a run.")] = False,
) -> None:
    """Run what the demo runs for a minute, with too much load in the middle, and draw top, trace and dashboard."""
    if again and data is None:
        raise typer.BadParameter("needs --data", param_hint="--again")
    with ExitStack() as stack:
        folder = data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headway-pictures-")))
        folder.mkdir(parents=True, exist_ok=True)
        if not again:
            try:
                asyncio.run(run(folder, RunSettings(seconds=seconds)))
            except HeadwayError as error:
                typer.echo(f"headway: {error}", err=True)
                raise typer.Exit(1) from None
        for source, columns in ((TOP, TOP_COLUMNS), (TRACE, TRACE_COLUMNS)):
            file = out / f"{Path(source).stem}.png"
            draw(lines_of((folder / source).read_text(encoding="utf-8")), file, columns=columns)
            typer.echo(file)
        draw_dashboard(Scrapes.read(folder / SCRAPES), out / "dashboard.png", rows=row or ROWS)
        typer.echo(out / "dashboard.png")


if __name__ == "__main__":
    app()
