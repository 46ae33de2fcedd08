"""Settings as flags: a command gets one for each of its settings, made from the configuration's records."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

import typer

from proxy.config import Override
from proxy.config.document import Setting, settings_of
from proxy.config.records import Role

PANEL = "Settings: flag, else variable, else file, else default"


@dataclass(frozen=True, slots=True)
class FromCommandLine:
    """The settings given as flags, in the order in which they count."""

    overrides: tuple[Override, ...] = ()


def takes_settings(role: Role) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command a flag for each of the role's settings and `--set`; it gets what was given as `settings`."""
    settings = {setting.flag.removeprefix("--").replace("-", "_"): setting for setting in settings_of(role)}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        def run(**arguments: Any) -> None:
            given = {name: arguments.pop(name) for name in settings}
            assigned = [_assignment(text) for text in arguments.pop("assign") or ()]
            overrides = [
                Override(setting.key, given[name], setting.flag)
                for name, setting in settings.items()
                if given[name] is not None
            ]
            command(settings=FromCommandLine((*overrides, *assigned)), **arguments)

        hints = get_type_hints(command, include_extras=True)
        own = [
            parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
            for name, parameter in inspect.signature(command).parameters.items()
            if name != "settings"
        ]
        parameters = [*own, _assign_parameter(), *(_parameter(name, setting) for name, setting in settings.items())]
        run.__doc__ = command.__doc__
        run.__name__ = command.__name__
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer reads the flags from
        return run

    return decorate


def _parameter(name: str, setting: Setting) -> inspect.Parameter:
    option = typer.Option(setting.flag, metavar=setting.metavar, help=setting.help, rich_help_panel=PANEL)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, option]
    )


def _assign_parameter() -> inspect.Parameter:
    option = typer.Option(
        "--set", metavar="KEY=VALUE", help="Any setting by its path in the file, such as classes.bulk.deadline=9s."
    )
    return inspect.Parameter(
        "assign", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[list[str] | None, option]
    )


def _assignment(text: str) -> Override:
    key, equals, value = text.partition("=")
    if not equals or not all(key.split(".")):
        raise typer.BadParameter(f"'{text}' is not KEY=VALUE", param_hint="--set")
    return Override(key, value, f"--set {key}")
