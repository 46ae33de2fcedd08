"""Options that take several values after one flag: `--policies greedy slackfit`, besides a flag for each."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand


class ManyValues(TyperCommand):
    """A command whose repeatable options may be given once with several values, up to the next option or `--`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        repeatable = {
            flag for parameter in self.params if getattr(parameter, "multiple", False) for flag in parameter.opts
        }
        return super().parse_args(ctx, spread(args, repeatable))


def spread(args: list[str], repeatable: set[str]) -> list[str]:
    """The arguments with the flag repeated before each of its values."""
    given: list[str] = []
    flag = ""
    takes_first = False
    for place, argument in enumerate(args):
        if argument == "--":
            return given + args[place:]
        if argument.startswith("-"):
            flag = argument if argument in repeatable else ""
            takes_first = bool(flag)
        elif flag and not takes_first:
            given.append(flag)
        else:
            takes_first = False
        given.append(argument)
    return given
