"""`headway profile`: its flags."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Coroutine
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from proxy.commands.ctl import Load

EPILOG = """**Examples**

`headway profile -c headway.yaml --route llm --out profiles`: each candidate's `profiles/MODEL.yaml`, for the
candidates' `profile` keys

`headway profile -c headway.yaml --route llm --out profiles --value MAX_TOKENS:64 --sizes 16,64,256`

`headway profile -c headway.yaml --route vision --out vision.yaml --shape IMAGE:224,224,3`

Stop other traffic first: what others send makes everything slower. A request's time is that from sending it to its
answer, here, without the time in Triton's queue."""

ROUTE = "The route whose candidates are measured."
OUT = "A directory, for a file each; a .yaml file, for all in one; or a name with {model}, {triton}."
SHAPE = "An input's shape without the batch dimension, where the model leaves it open. May be repeated."
VALUE = "What goes in an input: a number, or a text. Optional inputs are sent only when named. May be repeated."
SIZES = "Payload sizes to measure, between commas: bytes of the first text, else lengths of the first open dimension."
STREAMS = "Of a model that streams, measure up to so many streams at once."
NOTE = "Something that the profile's readers must know, kept in the file. May be repeated."
SECONDS = "How long one batch size, payload or number of streams is measured at most."


def make_profile(
    *, load: Load, run: Callable[[Coroutine[Any, Any, Any]], Any], now: Callable[[], datetime]
) -> Callable[..., None]:
    """The command, with the way to read a configuration, to run a coroutine and to tell the date."""

    def profile(
        route: Annotated[str, typer.Option(metavar="NAME", help=ROUTE)],
        out: Annotated[str, typer.Option(metavar="DIR|FILE", help=OUT)],
        config: Annotated[
            Path | None,
            typer.Option(
                "--config", "-c", metavar="FILE", envvar="HEADWAY_CONFIG", help="The configuration, a YAML file."
            ),
        ] = None,
        shape: Annotated[list[str] | None, typer.Option(metavar="NAME:N,N,…", help=SHAPE)] = None,
        value: Annotated[list[str] | None, typer.Option(metavar="NAME:VALUE", help=VALUE)] = None,
        sizes: Annotated[str | None, typer.Option(metavar="N,N,…", help=SIZES)] = None,
        streams: Annotated[int, typer.Option(min=1, help=STREAMS)] = 32,
        seconds: Annotated[float, typer.Option(min=0.1, help=SECONDS)] = 5.0,
        note: Annotated[list[str] | None, typer.Option(metavar="TEXT", help=NOTE)] = None,
        as_json: Annotated[bool, typer.Option("--json", help="Print what was measured as JSON.")] = False,  # noqa: FBT002
    ) -> None:
        """Measure how long the models behind a route take, on a live Triton, and write their profiles.

        Of each candidate: the latency of every batch size and payload size, and of instances side by side; of a model
        that streams: the time to the first message and between messages, by prompt size and by streams at once. Each
        is repeated until its median is known to 2 %, or its time is up.
        """
        from rich.console import Console  # noqa: PLC0415

        from proxy.profiling.payload import Wishes, parse_shapes, parse_sizes, parse_values  # noqa: PLC0415
        from proxy.profiling.report import as_json as to_json  # noqa: PLC0415
        from proxy.profiling.report import notes, table  # noqa: PLC0415
        from proxy.profiling.route import Plan, profile_route  # noqa: PLC0415
        from proxy.profiling.sweep import Limits  # noqa: PLC0415

        if config is None:
            raise typer.BadParameter("name the file that has the route", param_hint="--config")
        try:
            wishes = Wishes(parse_shapes(shape or ()), parse_values(value or ()), parse_sizes(sizes) if sizes else ())
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--shape, --value, --sizes") from None
        command = shlex.join(["headway", *sys.argv[1:]])
        plan = Plan(route, out, wishes, Limits(seconds), streams, command, now(), tuple(note or ()))
        loaded = load(config, ("daemon",), check_files=False)
        done = run(profile_route(loaded, plan, console=Console(stderr=True)))
        if as_json:
            print(to_json(done))
            return
        Console().print(table(done))
        print("\n".join(notes(done)))

    return profile
