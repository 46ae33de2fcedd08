"""`headway top`: its flags, and whether there is a terminal for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import typer

from proxy.commands.ctl import Ca, Cert, ConfigFile, Key, Load, OneRole, Whom
from proxy.config import Available
from proxy.config.sources import Node, Origin
from proxy.config.values import Duration, Refused

EPILOG = """**Examples**

`headway top -c headway.yaml`: the proxy and the daemon of the file, whichever have `control_listen`

`headway top -c headway.yaml --role daemon --interval 500ms`

`headway top --at 127.0.0.1:8009 --at gpu-host:8010 --ca ca.pem --cert me.pem --key me.key`

`headway top --once -c headway.yaml > now.txt`

`q`, Ctrl-C or SIGTERM end it. A process that can't be reached is said to be so, and shown again when it is back.
For programs: `headway ctl status --watch --json`. What to do about what is shown: `ops/runbook.md`.

Exit code 0 when it was quit; of one page 1 when a process could not be asked; 2 for a wrong command line.
"""

At = Annotated[
    list[str] | None,
    typer.Option(
        "--at", "--target", metavar="HOST:PORT", help="Whom to look at, instead of --config. May be repeated."
    ),
]
SHORTEST_S, LONGEST_S = 0.1, 3600.0
"""The control service's limits."""


def make_top(*, load: Load, run: Callable[[Coroutine[Any, Any, int]], int]) -> Callable[..., None]:
    """The command, with the way to read a configuration and to run a coroutine."""

    def top(
        at: At = None,
        config: ConfigFile = None,
        role: OneRole = None,
        *,
        interval: Annotated[
            str, typer.Option(metavar="DURATION", help="From one look to the next: 100ms to 1h.")
        ] = "1s",
        once: Annotated[
            bool, typer.Option("--once", help="Print one page as plain text, after one interval, and end.")
        ] = False,
        ca: Ca = None,
        cert: Cert = None,
        key: Key = None,
    ) -> None:
        """Show a running proxy and daemon live, through their control services.

        Classes with calls a second, share on time and latency; routes with their policy and how often it was not the
        one that decided; models with load and share; tunnels with round trip, rate and loss; what waits to be sent,
        and by which scheduler. Without a terminal (a pipe, TERM=dumb) it prints one page and ends.
        """
        interval_s = _interval(interval)
        targets, tls = Whom(at, config, role, ca, cert, key).whom(load)

        from rich.console import Console  # noqa: PLC0415

        from proxy.clock import MonotonicClock  # noqa: PLC0415
        from proxy.top.live import PLAIN_WIDTH, Watching, live, painter, snapshot  # noqa: PLC0415

        watching = Watching(targets, tls, interval_s, MonotonicClock())
        console = Console()
        if once or not sys.stdout.isatty() or console.is_dumb_terminal:
            if not sys.stdout.isatty() and "COLUMNS" not in os.environ:
                console.width = PLAIN_WIDTH
            raise typer.Exit(run(snapshot(watching, console)))
        files = {"input_fd": sys.stdin.fileno(), "output_fd": sys.stdout.fileno()}
        raise typer.Exit(run(live(watching, **files, paint=painter(console))))

    return top


def _interval(text: str) -> float:
    """Seconds. A number without a unit is seconds, as for `headway ctl status`."""
    unit = text if text.strip()[-1:].isalpha() else f"{text.strip()}s"
    try:
        seconds = float(Duration().read(Node(unit, Origin("--interval"), text=unit), Available()))
    except Refused as refused:
        raise typer.BadParameter(refused.what, param_hint="--interval") from None
    if not SHORTEST_S <= seconds <= LONGEST_S:
        raise typer.BadParameter(f"{text} is not from 100ms to 1h", param_hint="--interval")
    return seconds
