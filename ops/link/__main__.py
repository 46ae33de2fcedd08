"""`python -m ops.link COMMAND`: a bad link on this machine, by hand."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from ops.link import commands
from ops.link.description import WORDS, read_direction
from ops.link.errors import LinkError, SettingsError

EXAMPLES = """\
examples (as root):
  python -m ops.link up --rate 5mbit --delay 50ms --loss 0.5%        5 Mbit/s, a round trip of 100 ms
  python -m ops.link up --rate 5mbit --changes "10s rate=1mbit, 20s rate=5mbit loss=2%"
  python -m ops.link up --scenario FILE.yaml                         the file's `link:`
and in another terminal:
  python -m ops.link exec far -- python -m http.server
  python -m ops.link exec near -- curl http://10.77.0.2:8000/
  python -m ops.link change --loss 5%
  python -m ops.link show
  python -m ops.link down

near and far are network namespaces: what runs in them sees loopback and the link, nothing else.
A program that is sent through the link by mistake from outside them goes where it would go without it.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog=commands.TOOL,
        description="A link with rate, delay, loss and a queue between two network namespaces on this machine.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = made.add_subparsers(dest="command", metavar="COMMAND", required=True)

    up = names.add_parser("up", help="make a link and keep it until Ctrl-C")
    _add_settings(up)
    up.add_argument("--interval", type=_seconds, default=1.0, metavar="SECONDS", help="between statistics lines; 1")
    up.add_argument("--log", type=Path, metavar="FILE", help="a line for each packet, tab-separated")

    change = names.add_parser("change", help="other values for a running link, from now on")
    _add_link(change)
    _add_words(change)
    change.add_argument("--direction", default="both", metavar="WAY", help="up (near to far), down or both; both")

    names.add_parser("show", help="the links on this machine, with their statistics")

    execute = names.add_parser("exec", help="run a command on one side of a link")
    _add_link(execute)
    execute.add_argument("side", choices=("near", "far"))
    execute.add_argument("arguments", nargs="*", metavar="-- COMMAND…")

    down = names.add_parser("down", help="end a link, and delete what killed ones left over")
    down.add_argument("name", nargs="?", metavar="NAME", help="hw-…, where several are up")
    down.add_argument("--all", action="store_true", help="every link on this machine")

    measure = names.add_parser("measure", help="ping and TCP over such a link, and what the shuttle costs")
    _add_settings(measure)
    measure.add_argument("--seconds", type=_seconds, default=5.0, help="for each congestion control; 5")
    return made


def _add_words(one: argparse.ArgumentParser) -> None:
    for word, what in WORDS.items():
        text = f"{what.summary}: {what.allowed}".replace("%", "%%")
        one.add_argument(commands.flag(word), dest=f"word_{word}", metavar=word.upper(), help=text)


def _add_settings(one: argparse.ArgumentParser) -> None:
    _add_words(one)
    one.add_argument(
        "--changes", metavar="CHANGES", help='later values: "10s rate=2mbit loss=1%%, 20s rate=5mbit", direction=up too'
    )
    one.add_argument("--scenario", type=Path, metavar="FILE", help="YAML with these keys, or with them under link:")
    one.add_argument("--seed", type=int, default=1, help="of all that chance decides; 1")


def _add_link(one: argparse.ArgumentParser) -> None:
    one.add_argument("--link", metavar="NAME", help="hw-…, where several are up")


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0, at most 3600")
    return number


def _words(arguments: argparse.Namespace) -> dict[str, str]:
    """The settings that were given."""
    given = {word: getattr(arguments, f"word_{word}") for word in WORDS}
    return {word: text for word, text in given.items() if text is not None}


def _run(arguments: argparse.Namespace) -> None:
    if arguments.command in {"up", "measure"}:
        settings = commands.settings_of(_words(arguments), changes=arguments.changes, scenario=arguments.scenario)
        if arguments.command == "up":
            asyncio.run(commands.up(settings, seed=arguments.seed, interval_s=arguments.interval, log=arguments.log))
        else:
            lines = commands.take_measure(settings, seconds=arguments.seconds, seed=arguments.seed)
            print("\n".join(lines))
    elif arguments.command == "change":
        direction = read_direction(arguments.direction, "--direction")
        name = commands.change(arguments.link, _words(arguments), direction=direction)
        print(f"{name}: changed")
    elif arguments.command == "show":
        print("\n".join(commands.show()) or "no link is up")
    elif arguments.command == "exec":
        commands.execute(arguments.link, arguments.side, arguments.arguments)
    else:
        print("\n".join(commands.down(arguments.name, every=arguments.all)) or "no link was up")


def main(command_line: list[str] | None = None) -> int:
    """Exit codes: 0 done, 1 failed, 2 usage."""
    words = sys.argv[1:] if command_line is None else command_line
    # argparse takes no option between a positional and the rest of the line, and `exec near --link NAME -- …` has one.
    cut = words.index("--") if words[:1] == ["exec"] and "--" in words else len(words)
    arguments = parser().parse_args(words[:cut])
    if cut < len(words):
        arguments.arguments = words[cut + 1 :]
    try:
        _run(arguments)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    except (LinkError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
