"""What the tool's commands do; `__main__` reads the command line."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import shlex
import signal
import sys
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Any

import yaml

from ops.link import control, measure, namespaces
from ops.link.description import WORDS, parse_changes, parse_link, read_changes, read_value
from ops.link.emulated import EmulatedLink
from ops.link.errors import LinkError, LinkGoneError, SettingsError
from ops.link.settings import LinkSettings
from ops.link.statistics import DirectionStatistics, LinkStatistics

TOOL = "python -m ops.link"
_STOP_TIMEOUT_S = 10.0


def settings_of(flags: Mapping[str, str], *, changes: str | None = None, scenario: Path | None = None) -> LinkSettings:
    """A link from a scenario file and from flags, which go before the file. Raises `SettingsError`."""
    mapping: dict[str, Any] = {}
    if scenario is not None:
        mapping = read_scenario(scenario)
        parse_link(mapping, str(scenario))
    for word, text in flags.items():
        read_value(word, text, flag(word))
        mapping[word] = text
    if changes is not None:
        mapping["changes"] = parse_changes(changes, "--changes")
        read_changes(mapping["changes"], "--changes")
    return parse_link(mapping, "the link")


def flag(word: str) -> str:
    """What the key is called on the command line."""
    return "--" + word.replace("_", "-")


def read_scenario(path: Path) -> dict[str, Any]:
    """The link of a YAML file: its key `link`, or all of it. Raises `SettingsError`."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"--scenario {path}: {error}") from error
    if isinstance(content, Mapping) and "link" in content:
        content = content["link"]
    if not isinstance(content, Mapping):
        raise SettingsError(f"--scenario {path}: has no link: a mapping such as {{rate: 5mbit, delay: 50ms}}")
    return dict(content)


def require_permission() -> None:
    """Raises `LinkError` with the reason where namespaces don't work."""
    reason = namespaces.namespaces_permitted()
    if reason is not None:
        raise LinkError(f"no link can be had here: {reason}")


async def up(settings: LinkSettings, *, seed: int, interval_s: float, log: Path | None) -> None:
    """Keep a link up until Ctrl-C, SIGTERM or `down`. Raises `LinkError`."""
    require_permission()
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    async with EmulatedLink(settings, seed=seed) as link:
        print(introduction(link), flush=True)
        with link.log(log) if log is not None else contextlib.nullcontext():
            code = await _show_until(told, link, interval_s)
    if code != 0:
        raise LinkError(f"the link's shuttle ended with {code}; its namespaces are deleted")
    print("the link is gone, and its namespaces with it")


async def _show_until(told: asyncio.Event, link: EmulatedLink, interval_s: float) -> int:
    """A line of statistics now and then, rewritten where a terminal shows it; the exit code of a link that ended."""
    terminal = sys.stdout.isatty()
    before = link.statistics()
    with contextlib.suppress(LinkGoneError):
        while not await _happens(told.wait(), within_s=interval_s):
            after = link.statistics()
            line = live_line(before, after)
            print(f"\r\x1b[K{line}" if terminal else line, end="" if terminal else "\n", flush=True)
            before = after
    if terminal:
        print()
    return 0 if told.is_set() else await link.ended()


async def _happens(what: Awaitable[object], *, within_s: float) -> bool:
    """Whether it comes in time; waits no longer."""
    try:
        async with asyncio.timeout(within_s):
            await what
    except TimeoutError:
        return False
    return True


def introduction(link: EmulatedLink) -> str:
    """What a user needs to know of a link that has come up."""
    near, far = link.near, link.far
    return "\n".join(
        [
            f"link {link.name} is up (shuttle: process {link.shuttle_pid}, {link.priority} priority)",
            f"  near  {near.address}  {near.address6}  namespace {near.namespace}",
            f"  far   {far.address}  {far.address6}  namespace {far.namespace}",
            "run something on either side:",
            f"  {TOOL} exec --link {link.name} near -- COMMAND…",
            f"  {shlex.join(near.command([]))} COMMAND…",
            f"  {shlex.join(far.command([]))} COMMAND…",
            "change it while it is up, end it:",
            f"  {TOOL} change --link {link.name} --rate 2mbit",
            f"  {TOOL} down {link.name}     or Ctrl-C here",
        ]
    )


def live_line(before: LinkStatistics, after: LinkStatistics) -> str:
    """What went through between two looks, and what was lost since the start."""
    seconds = max(after.seconds - before.seconds, 1e-9)
    parts = []
    for name, old, new in (("up", before.up, after.up), ("down", before.down, after.down)):
        rate = (new.delivered_bytes - old.delivered_bytes) * 8 / seconds
        parts.append(f"{name} {rate / 1e6:.2f} Mbit/s, {counts(new)}")
    return f"{after.seconds:6.1f} s  " + "  |  ".join(parts)


def counts(one: DirectionStatistics) -> str:
    """One direction in a few words."""
    return (
        f"{one.packets} packets, {one.lost} lost, {one.dropped} dropped, "
        f"queue {one.queue_bytes_mean / 1000:.1f} kB, {one.queueing_s_mean * 1e3:.1f} ms"
    )


def change(name: str | None, flags: Mapping[str, str], *, direction: str | None) -> str:
    """Other values for a running link; its name. Raises `LinkError`, `SettingsError`."""
    if not flags:
        raise SettingsError(f"nothing to change; give one of {', '.join(map(flag, WORDS))}")
    values = {WORDS[word].field: read_value(word, text, flag(word)) for word, text in flags.items()}
    chosen = choose(name)
    control.ask(chosen, "change", values=values, direction=direction)
    return chosen


def show() -> list[str]:
    """A line and its statistics for each link on this machine."""
    lines = []
    for link in namespaces.links():
        if not namespaces.alive(link.owner):
            lines.append(f"{link.name}: left over, its process {link.owner} is gone; `{TOOL} down` deletes it")
            continue
        try:
            statistics = LinkStatistics.from_json(control.ask(link.name, "statistics", reset=False))
        except LinkError as error:
            lines.append(f"{link.name}: {error}")
            continue
        lines.append(f"{link.name}: up for process {link.owner}, {statistics.seconds:.0f} s")
        lines.extend(f"  {name}: {counts(getattr(statistics, name))}" for name in ("up", "down"))
    return lines


def choose(name: str | None, argument: str = "--link") -> str:
    """The link of that name, or the only one there is. Raises `SettingsError` where that is not clear."""
    running = [link.name for link in namespaces.links() if namespaces.alive(link.owner)]
    if name is not None:
        if name not in running:
            raise SettingsError(f"{argument}: there is no link {name}; running: {', '.join(running) or 'none'}")
        return name
    if not running:
        raise LinkError(f"no link is up; `{TOOL} up --rate 5mbit --delay 50ms` makes one")
    if len(running) > 1:
        raise SettingsError(f"several links are up, so {argument} is needed: {', '.join(running)}")
    return running[0]


def execute(name: str | None, side: str, command: list[str]) -> None:
    """Become `command`, inside a side of a link. Raises `LinkError`."""
    if not command:
        raise SettingsError(f"exec: no command; for example `{TOOL} exec near -- ss -ti`")
    arguments = ["ip", "netns", "exec", f"{choose(name)}-{side}", *command]
    try:
        os.execvp(arguments[0], arguments)  # noqa: S606 -- no shell is wanted
    except FileNotFoundError as error:
        raise LinkError("there is no `ip` command; Debian and Ubuntu have it in the package iproute2") from error


def down(name: str | None, *, every: bool) -> list[str]:
    """End a link, or every one, and delete what is left over of others; what was done. Raises `LinkError`."""
    lines = [f"{stale}: left over, deleted" for stale in namespaces.sweep()]
    running = [link.name for link in namespaces.links()]
    if not every and (name is not None or running or not lines):
        running = [choose(name, "NAME")]
    for one in running:
        try:
            _wait_for_end(control.ask(one, "stop"))
        except LinkError:  # no shuttle any more
            namespaces.delete(one)
        lines.append(f"{one}: ended")
    return lines


def _wait_for_end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            select.select([handle], [], [], _STOP_TIMEOUT_S)
        finally:
            os.close(handle)


def take_measure(settings: LinkSettings, *, seconds: float, seed: int) -> list[str]:
    """What such a link does to real traffic, and what the shuttle costs. Raises `LinkError`."""
    require_permission()
    return asyncio.run(measure.report(settings, seconds=seconds, seed=seed))
