"""The command line: reads the configuration, builds what a command runs, turns failures into one line and an exit code.

Exit codes: 0 done, 1 failed (a configuration that can't be used among others), 2 the command line itself is wrong,
130 interrupted.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from policies.scheduling.registry import SCHEDULERS
from policies.selection.registry import POLICIES, POLICIES_WITH_ARGUMENT
from proxy.commands.ctl import make_ctl
from proxy.commands.evaluate import EPILOG as EVALUATE_EPILOG
from proxy.commands.evaluate import evaluate
from proxy.commands.many_values import ManyValues
from proxy.commands.profile import EPILOG as PROFILE_EPILOG
from proxy.commands.profile import make_profile
from proxy.commands.top import EPILOG as TOP_EPILOG
from proxy.commands.top import make_top
from proxy.commands.trace import EPILOG as TRACE_EPILOG
from proxy.commands.trace import trace
from proxy.commands.train import EPILOG as TRAIN_EPILOG
from proxy.commands.train import train
from proxy.config import Available, Config, Override, load_config
from proxy.config.load import ROLES
from proxy.config.records import Role
from proxy.errors import ConfigError, HeadwayError
from proxy.flags import FromCommandLine, takes_settings
from proxy.logs import LEVELS, set_up_logging

T = TypeVar("T")

GRPC_EXPERIMENTS = "-event_engine_client,-event_engine_listener"
"""grpc's older poller takes a fifth less CPU time a call here (`ops/decisions`, `ops.bench overhead`)."""

GRPC_VERBOSITY = "NONE"
"""grpc's core writes to standard error on its own, in its own form; what matters of it, its callers are told."""

DONE, FAILED, INTERRUPTED = 0, 1, 130

CONGESTION_CONTROLS = ("reno", "cubic", "bbr")
"""Aioquic's, and the one of `proxy.quic.congestion`."""

app = typer.Typer(
    name="headway",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", envvar="HEADWAY_CONFIG", help="The configuration, a YAML file."),
]
LogLevel = Annotated[
    str,
    typer.Option(
        "--log-level", metavar="|".join(LEVELS), envvar="HEADWAY_LOG_LEVEL", help="The least level that is logged."
    ),
]
LogJson = Annotated[
    bool, typer.Option("--log-json", envvar="HEADWAY_LOG_JSON", help="Log lines as JSON objects, for programs.")
]


def main() -> None:
    """Entry point of the `headway` command."""
    # Both are read when grpc is imported, which is later.
    os.environ.setdefault("GRPC_EXPERIMENTS", GRPC_EXPERIMENTS)
    os.environ.setdefault("GRPC_VERBOSITY", GRPC_VERBOSITY)
    try:
        app(prog_name="headway")
    except ConfigError as error:
        _fail(error.problems)
    except HeadwayError as error:
        _fail([f"headway: {error}"])
    except KeyboardInterrupt:
        print("headway: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)


def _fail(lines: Sequence[str]) -> NoReturn:
    for line in lines:
        print(line, file=sys.stderr)
    sys.exit(FAILED)


def _version(value: bool) -> None:  # noqa: FBT001 -- typer's callback
    if value:
        print(f"headway {metadata.version('headway')}")
        raise typer.Exit


@app.callback(
    epilog="""**Try it:** `headway demo`

**By hand:** `headway certs --out certs`, then `headway daemon -c headway.yaml` next to the GPUs, `headway proxy -c
headway.yaml` next to the clients, and clients connect to the proxy instead of Triton."""
)
def headway(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Inference calls that meet their deadlines over a bad link and on busy GPUs.

    A **proxy** next to the clients takes any gRPC call and tunnels it over QUIC to a **daemon** next to the GPUs; both
    send what is due first, and the daemon picks the model that answers in time.
    """


@app.command(
    "proxy",
    epilog="""**Examples**

`headway proxy -c headway.yaml`

`headway proxy --daemons gpu-host:4433 --ca certs/ca.pem --token-file certs/token --listen 127.0.0.1:8001`

`HEADWAY_PROXY__TRANSPORT=tcp headway proxy -c headway.yaml --set classes.realtime.deadline=500ms`""",
)
@takes_settings("proxy")
def proxy_command(
    settings: FromCommandLine,
    config: ConfigFile = None,
    log_level: LogLevel = "info",
    log_json: LogJson = False,
) -> None:
    """Run the proxy, next to the clients.

    Every setting comes from its flag, else its `HEADWAY_…` variable, else the file, else its default. The variable of
    `proxy.listen` is `HEADWAY_PROXY__LISTEN`.
    """
    _set_up(log_level, log_json)
    raise typer.Exit(run_proxy(load(config, ("proxy",), settings.overrides)))


@app.command(
    "daemon",
    epilog="""**Examples**

`headway daemon -c headway.yaml`

`headway daemon --cert certs/daemon.pem --key certs/daemon.key --set daemon.tritons='{a: {url: "localhost:8101"}}'`

`HEADWAY_DAEMON__LISTEN=0.0.0.0:4433 headway daemon -c headway.yaml --scheduler rr`""",
)
@takes_settings("daemon")
def daemon_command(
    settings: FromCommandLine,
    config: ConfigFile = None,
    log_level: LogLevel = "info",
    log_json: LogJson = False,
) -> None:
    """Run the daemon, next to the GPUs.

    Every setting comes from its flag, else its `HEADWAY_…` variable, else the file, else its default. The variable of
    `daemon.listen` is `HEADWAY_DAEMON__LISTEN`.
    """
    _set_up(log_level, log_json)
    raise typer.Exit(run_daemon(load(config, ("daemon",), settings.overrides)))


@app.command(
    epilog="""**Examples**

`headway check -c headway.yaml`: everything, from a machine that reaches the daemons and the Tritons

`headway check -c headway.yaml --role proxy`: what this machine needs as the proxy

`headway check -c headway.yaml --offline`: the file and the certificates only"""
)
def check(
    config: ConfigFile = None,
    role: Annotated[
        str | None, typer.Option(metavar="|".join(ROLES), help="Check for a machine that runs only this.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Leave out what needs the network.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Problems and notes as JSON.")] = False,
) -> None:
    """Check a configuration, its certificates, and that daemons and Tritons answer.

    One line for each problem: file and line, key, what is wrong, what is allowed. Exit code 1 when there is any. A line
    that begins with `note:` is none: it names a setting that may not do what is expected.
    """
    from proxy.commands.check import check_config

    roles = _roles(role)
    notes: list[str] = []
    if config is None:
        raise typer.BadParameter("name the file to check", param_hint="--config")
    try:
        settings = load(config, roles).only(roles or ROLES)
        notes = settings.notes()
        problems = run_async(check_config(settings, now=datetime.now(UTC), offline=offline))
    except ConfigError as error:
        problems = error.problems
    if as_json:
        found = {"file": str(config), "problems": problems, "notes": notes}
        print(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        verdict = f"{config}: no problem found{', network left out' if offline else ''}"
        print("\n".join([*(problems or [verdict]), *(f"note: {note}" for note in notes)]))
    raise typer.Exit(FAILED if problems else DONE)


@app.command(
    epilog="""**Example**

`headway certs --out certs --host gpu-host --host 10.0.0.7`, then `daemon.pem`, `daemon.key` and `token` go to the
daemon's machine, `ca.pem` and `token` to the proxy's; `proxy.pem` and `proxy.key` are for a daemon with `client_ca`."""
)
def certs(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the files go; made if need be.")],
    host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A name or IP address of the daemon's, besides localhost, 127.0.0.1 and ::1. May be repeated.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
) -> None:
    """Make a private CA, certificates for a daemon and a proxy, and a token: for trials.

    The CA's private key is thrown away, so a later run makes a new CA and all files together are replaced.
    """
    from proxy.commands.certs import make_certs

    for path in make_certs(out, hosts=host or (), now=datetime.now(UTC), force=force):
        print(path)


@app.command(
    epilog="""**Examples**

`headway demo`: a few seconds of load, then everything is stopped

`headway demo --keep`: goes on until Ctrl-C, for your own clients"""
)
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running until Ctrl-C.")] = False,
    seconds: Annotated[float, typer.Option(min=1, help="How long to send load.")] = 10.0,
    traces_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where traces are appended; headway-traces.jsonl in the working directory."),
    ] = None,
    log_level: LogLevel = "warning",
) -> None:
    """Start a real Triton with three language models, a daemon and a proxy, and send them a mixed load.

    Exit code 0 when it went to its end (with `--keep`, when Ctrl-C ended it), 1 when something did not start or answer,
    130 when Ctrl-C cut it short. Nothing is left running in any case.
    """
    _set_up(log_level, as_json=False)
    raise typer.Exit(run_demo(keep=keep, seconds=seconds, traces_file=traces_file))


def load(
    path: Path | None, roles: tuple[Role, ...], overrides: tuple[Override, ...] = (), *, check_files: bool = True
) -> Config:
    """The configuration with this process's environment and what this version has. Raises `ConfigError`."""
    available = Available(
        schedulers=tuple(SCHEDULERS),
        policies=(*(name for name, (argument, _) in POLICIES_WITH_ARGUMENT.items() if argument == "model"), *POLICIES),
        congestion_controls=CONGESTION_CONTROLS,
    )
    return load_config(
        path,
        roles=roles,
        environment=os.environ,
        overrides=overrides,
        available=available,
        check_files=check_files,
    )


def run_proxy(config: Config) -> int:
    """Run the proxy until it is told to stop; the exit code."""
    from proxy.compose.run import serve_proxy

    return run_async(serve_proxy(config))


def run_daemon(config: Config) -> int:
    """Run the daemon until it is told to stop; the exit code."""
    from proxy.compose.run import serve_daemon

    return run_async(serve_daemon(config))


def run_demo(*, keep: bool, seconds: float, traces_file: Path | None) -> int:
    """Run the demo; the exit code."""
    from proxy.commands.extras import from_extra

    with from_extra("demo", "the demo"):
        from proxy.demo.demo import run

    return run(keep=keep, seconds=seconds, traces_file=traces_file)


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on uvloop, or on asyncio's own loop where there is none."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _roles(role: str | None) -> tuple[Role, ...]:
    if role is None:
        return ()
    for known in ROLES:
        if role == known:
            return (known,)
    raise typer.BadParameter(f"'{role}' is neither of {', '.join(ROLES)}", param_hint="--role")


def _set_up(level: str, as_json: bool) -> None:  # noqa: FBT001
    if level not in LEVELS:
        raise typer.BadParameter(f"'{level}' is none of {', '.join(LEVELS)}", param_hint="--log-level")
    set_up_logging(level, as_json=as_json)


app.add_typer(make_ctl(load=load, run=run_async), name="ctl")
app.command("evaluate", cls=ManyValues, epilog=EVALUATE_EPILOG)(evaluate)
app.command("profile", epilog=PROFILE_EPILOG)(make_profile(load=load, run=run_async, now=lambda: datetime.now(UTC)))
app.command("top", epilog=TOP_EPILOG)(make_top(load=load, run=run_async))
app.command("trace", epilog=TRACE_EPILOG)(trace)
app.command("train", epilog=TRAIN_EPILOG)(train)


if __name__ == "__main__":
    main()
