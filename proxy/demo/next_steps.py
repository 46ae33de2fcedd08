"""What to try after the demo, as commands that work when they are typed in the directory where the demo was started."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
"""Part of the source tree, not of an installed package."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to try."""

    command: str
    does: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What decides how a command has to be typed."""

    directory: Path = field(default_factory=Path.cwd)
    python: Path = field(default_factory=lambda: Path(sys.executable))
    """The interpreter that runs this; not resolved, since an environment's is a link to another."""
    search_path: str = field(default_factory=lambda: os.environ.get("PATH", os.defpath))
    examples: Path = EXAMPLES

    def command(self, name: str) -> str:
        """How to call a program of this Python environment: by its name if PATH leads there, else by its path."""
        own = self.python.with_name(name)
        found = shutil.which(name, path=self.search_path)
        if found is not None and Path(found).parent.resolve() == own.parent.resolve():
            return name
        return self.shown(own)

    def headway(self) -> str:
        """How to call headway."""
        if self.python.with_name("headway").exists():
            return self.command("headway")
        return f"{self.command(self.python.name)} -m proxy.cli"

    def shown(self, path: Path) -> str:
        """A path as short as it can be typed."""
        return shlex.quote(str(path.relative_to(self.directory) if path.is_relative_to(self.directory) else path))


def after_the_end(here: Surroundings) -> list[Step]:
    """What to try when the demo has stopped."""
    headway = here.headway()
    return [
        Step(f"{headway} demo --keep", "leaves it running until Ctrl-C, for the examples and your own clients"),
        Step(f"{headway} demo --seconds 30 --traces-file other.jsonl", "a longer load, with traces of its own"),
        Step(f"{headway} daemon --help", "the settings of a daemon in front of your own Triton; likewise proxy, certs"),
    ]


def after_keeping(here: Surroundings, url: str, config: Path) -> list[Step]:
    """What to try, from another terminal, while everything goes on."""
    steps = [Step(f"{here.headway()} check -c {here.shown(config)}", "what is wrong with it, after a change")]
    example = here.examples / "02_traffic_classes.py"
    if example.exists():
        python = here.command(here.python.name)
        steps.insert(0, Step(f"{python} {here.shown(example)} --url {url}", "traffic classes, deadlines, who answered"))
    return steps
