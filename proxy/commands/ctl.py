"""`headway ctl`: its commands and their flags."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from proxy.config import Config
from proxy.config.load import ROLES
from proxy.config.records import Role
from proxy.control.targets import Target, target_at, targets_of

if TYPE_CHECKING:  # imports grpc, which reads the settings that `headway` makes before it runs a command
    from proxy.commands.ask import Asking
    from proxy.control.client import ClientTls

At = Annotated[
    list[str] | None,
    typer.Option("--at", metavar="HOST:PORT", help="Where to ask, instead of --config. May be repeated."),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        envvar="HEADWAY_CONFIG",
        help="Ask at proxy.control_listen and daemon.control_listen of this file, whichever are set.",
    ),
]
OneRole = Annotated[
    str | None, typer.Option("--role", metavar="|".join(ROLES), help="Of the file's roles, ask only this.")
]
Ca = Annotated[
    Path | None, typer.Option("--ca", metavar="PATH", help="The CAs that may have signed the certificate there.")
]
Cert = Annotated[Path | None, typer.Option("--cert", metavar="PATH", help="Our certificate, where control_tls asks.")]
Key = Annotated[Path | None, typer.Option("--key", metavar="PATH", help="The private key of --cert.")]

EXIT_CODES = """Exit code 0 when every process that was asked did it, 1 when any did not, 2 for a wrong command line.
Where the file has both roles, both are asked; each that does not answer is a line on standard error. On a machine that
runs one of them, name it with `--role`."""


class Load(Protocol):
    """How the command line reads a configuration."""

    def __call__(self, path: Path | None, roles: tuple[Role, ...], *, check_files: bool) -> Config:
        """Read and check it. Raises `ConfigError`."""


@dataclass(frozen=True, slots=True)
class Whom:
    """The flags that say whom to ask and who we are."""

    at: Sequence[str] | None
    config: Path | None
    role: str | None
    ca: Path | None
    cert: Path | None
    key: Path | None

    def asking(self, load: Load, *, only: Sequence[Role] = ROLES, one: bool = False) -> Asking:
        """The processes meant, of the roles in `only`; with `one`, of a file no more than one."""
        from proxy.commands.ask import Asking  # noqa: PLC0415

        targets, tls = self.whom(load, only=only, one=one)
        return Asking(targets, tls=tls)

    def whom(
        self, load: Load, *, only: Sequence[Role] = ROLES, one: bool = False
    ) -> tuple[list[Target], ClientTls | None]:
        """The same, and who we are."""
        from proxy.control.client import ClientTls  # noqa: PLC0415

        targets = self._targets(load, only)
        if one and not self.at and len(targets) > 1:
            raise typer.BadParameter("the file has both roles: name the one that is meant", param_hint="--role")
        if self.ca is None or self.cert is None or self.key is None:
            for target in targets:
                if target.tls:
                    raise typer.BadParameter(f"{target} asks for a certificate", param_hint="--ca, --cert, --key")
            return targets, None
        return targets, ClientTls(self.ca, self.cert, self.key)

    def _targets(self, load: Load, only: Sequence[Role]) -> list[Target]:
        given = [path is not None for path in (self.ca, self.cert, self.key)]
        if any(given) and not all(given):
            raise typer.BadParameter("each needs the others", param_hint="--ca, --cert, --key")
        if self.at:
            try:
                return [target_at(text, tls=all(given)) for text in self.at]
            except ValueError as error:
                raise typer.BadParameter(str(error), param_hint="--at") from None
        if self.config is None:
            raise typer.BadParameter("name an address, or a file that has it", param_hint="--at, --config")
        roles = tuple(role for role in only if self.role in (None, role))
        if not roles:
            raise typer.BadParameter(f"'{self.role}' is none of {', '.join(only)}", param_hint="--role")
        return targets_of(load(self.config, (), check_files=False), roles)


def make_ctl(*, load: Load, run: Callable[[Coroutine[Any, Any, int]], int]) -> typer.Typer:
    """The commands, with the way to read a configuration and to run a coroutine."""
    app = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode="markdown",
        help="Ask a running proxy or daemon how it is, and switch it while it runs, through its control service.",
        epilog=EXIT_CODES,
    )

    @app.command(
        epilog="""**Examples**

`headway ctl status -c headway.yaml`

`headway ctl status --at 127.0.0.1:8009 --watch --json`: an object a line, until Ctrl-C"""
    )
    def status(
        at: At = None,
        config: ConfigFile = None,
        role: OneRole = None,
        *,
        as_json: Annotated[bool, typer.Option("--json", help="As JSON; with --watch an object a line.")] = False,
        watch: Annotated[bool, typer.Option("--watch", help="Again and again, until Ctrl-C.")] = False,
        interval: Annotated[
            float, typer.Option(min=0.1, max=3600, metavar="SECONDS", help="With --watch: from one to the next.")
        ] = 1.0,
        ca: Ca = None,
        cert: Cert = None,
        key: Key = None,
    ) -> None:
        """Show tunnels, scheduler, calls under way, and at a daemon the policies."""
        asking = Whom(at, config, role, ca, cert, key).asking(load)
        if not watch:
            raise typer.Exit(run(asking.status(as_json=as_json)))
        try:
            code = run(asking.watch(interval_s=interval, as_json=as_json))
        except KeyboardInterrupt:  # how a watch ends
            code = 0
        raise typer.Exit(code)

    @app.command(
        epilog=f"""**Examples**

`headway ctl scheduler -c headway.yaml`: which are in use

`headway ctl scheduler edf -c headway.yaml`: both ends send by `edf` from now on

`headway ctl scheduler rr --at 127.0.0.1:8009`

{EXIT_CODES}"""
    )
    def scheduler(
        name: Annotated[
            str | None, typer.Argument(metavar="[NAME]", help="The one to switch to; without it, show.")
        ] = None,
        at: At = None,
        config: ConfigFile = None,
        role: OneRole = None,
        ca: Ca = None,
        cert: Cert = None,
        key: Key = None,
    ) -> None:
        """Show or switch the stream scheduler.

        A switch holds for all tunnels and for those opened later, until the process ends; calls under way go on. The
        proxy orders requests and the daemon answers, each by its own. Not with transport tcp.
        """
        asking = Whom(at, config, role, ca, cert, key).asking(load)
        raise typer.Exit(run(asking.schedulers() if name is None else asking.set_scheduler(name)))

    @app.command(
        epilog="""**Examples**

`headway ctl policy -c headway.yaml`: each route's

`headway ctl policy llm static:llm-small -c headway.yaml`"""
    )
    def policy(
        route: Annotated[
            str | None, typer.Argument(metavar="[ROUTE]", help="The route to switch; without it, show all.")
        ] = None,
        name: Annotated[str | None, typer.Argument(metavar="[POLICY]", help="The policy to switch it to.")] = None,
        at: At = None,
        config: ConfigFile = None,
        ca: Ca = None,
        cert: Cert = None,
        key: Key = None,
    ) -> None:
        """Show or switch the policies of a daemon's routes. A switch holds until the process ends."""
        if route is not None and name is None:
            raise typer.BadParameter("name the policy too", param_hint="POLICY")
        asking = Whom(at, config, None, ca, cert, key).asking(load, only=("daemon",))
        showing = route is None or name is None
        raise typer.Exit(run(asking.policies() if showing else asking.set_policy(route or "", name or "")))

    @app.command(
        epilog="""**Example**

`headway ctl drain --role proxy -c headway.yaml`, then `headway ctl status --watch` until no call is left"""
    )
    def drain(
        at: At = None,
        config: ConfigFile = None,
        role: OneRole = None,
        ca: Ca = None,
        cert: Cert = None,
        key: Key = None,
    ) -> None:
        """Have a process take no new calls; those under way finish, and the process goes on until it is ended.

        There is no way back but a restart.
        """
        raise typer.Exit(run(Whom(at, config, role, ca, cert, key).asking(load, one=True).drain()))

    return app
