"""How people write a link: `{rate: 5mbit, delay: 50ms, loss: 0.5%, queue: 64KiB, changes: [{at: 10s, rate: 2mbit}]}`.

The same words are keys of a YAML file, flags of `python -m ops.link` and values of its `--changes`.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ops.link.errors import SettingsError
from ops.link.settings import Change, Direction, LinkSettings


@dataclass(frozen=True, slots=True)
class Word:
    """One key or flag."""

    field: str
    """Of `LinkSettings`."""
    read: Callable[[object], float | None]
    """The value, or None for what is none."""
    allowed: str
    summary: str


_QUANTITY = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*([A-Za-z/%]*)")
_RATES = {"bit": 1.0, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
_TIMES = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_SIZES = {"b": 1.0, "kb": 1e3, "kib": 1024.0, "mb": 1e6, "mib": 1024.0**2}


def _quantity(value: object, units: Mapping[str, float]) -> float | None:
    match = _QUANTITY.fullmatch(str(value).strip()) if isinstance(value, (str, int, float)) else None
    if match is None or isinstance(value, bool):
        return None
    number, unit = float(match[1]), match[2].lower()
    if not unit:
        return number if number == 0 else None
    return number * units[unit] if unit in units else None


def _rate(value: object) -> float | None:
    if value == "unlimited":
        return math.inf
    return _quantity(value.removesuffix("/s") if isinstance(value, str) else value, _RATES)


def _time(value: object) -> float | None:
    return _quantity(value, _TIMES)


def _size(value: object) -> float | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and value.strip().isdecimal():
        return float(value)
    size = _quantity(value, _SIZES)
    return size if size is not None and size == int(size) else None


def _share(value: object) -> float | None:
    if isinstance(value, str) and value.strip().endswith("%"):
        number = _number(value.strip().removesuffix("%"))
        return None if number is None else number / 100
    return _number(value)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


_A_TIME = "a time such as 50ms, 0.5s or 0"
_A_SHARE = "a share of the packets such as 0.5% or 0.005, at most 100%"

WORDS: dict[str, Word] = {
    "rate": Word("rate_bits_s", _rate, "a rate such as 500kbit, 5mbit or 1gbit, or unlimited", "of the wire, each way"),
    "delay": Word("delay_s", _time, _A_TIME, "each way, after the queue; a round trip takes twice as long"),
    "jitter": Word("jitter_s", _time, _A_TIME, "the delay varies by so much up and down; packets keep their order"),
    "loss": Word("loss", _share, _A_SHARE, "lost by chance, before the queue"),
    "loss_burst": Word("loss_burst", _number, "a number of packets, 1 or more", "mean length of a run of losses"),
    "reorder": Word("reorder", _share, _A_SHARE, "held up while others pass"),
    "reorder_delay": Word("reorder_delay_s", _time, _A_TIME, "how long those are held up"),
    "duplicate": Word("duplicate", _share, _A_SHARE, "arrive twice"),
    "queue": Word("queue_bytes", _size, "a size such as 65536, 64KiB or 1MB", "in front of the wire; tail drop"),
    "mtu": Word("mtu_bytes", _size, "a size from 68 to 65535 bytes", "longest packet"),
}
"""Key → what it sets."""


def read_value(word: str, value: object, where: str) -> float:
    """The value of one key. Raises `SettingsError` that begins with `where`."""
    number = WORDS[word].read(value)
    if number is None:
        raise SettingsError(f"{where}: {value!r} is not {WORDS[word].allowed}")
    try:
        LinkSettings().with_values({WORDS[word].field: number})
    except SettingsError as error:
        raise SettingsError(f"{where}: {value!r} is not {WORDS[word].allowed}") from error
    return number


def parse_link(mapping: Mapping[str, Any], where: str) -> LinkSettings:
    """A link from a mapping. Raises `SettingsError` that begins with `where` and names key and what is allowed."""
    _check(mapping, where, (*WORDS, "down", "changes"))
    values: dict[str, Any] = _values(mapping, where)
    if "down" in mapping:
        down = mapping["down"]
        _check(down, f"{where}.down", tuple(WORDS))
        values["down"] = _values(down, f"{where}.down")
    if "changes" in mapping:
        values["changes"] = read_changes(mapping["changes"], f"{where}.changes")
    try:
        return LinkSettings(**values)
    except SettingsError as error:
        raise SettingsError(f"{where}: {error}") from error


def read_changes(changes: object, where: str) -> tuple[Change, ...]:
    """The key `changes`. Raises `SettingsError`."""
    if not isinstance(changes, list):
        raise SettingsError(f"{where}: {changes!r} is not a list such as [{{at: 10s, rate: 2mbit}}]")
    return tuple(_change(one, f"{where}[{index}]") for index, one in enumerate(changes))


def _change(mapping: object, where: str) -> Change:
    _check(mapping, where, ("at", "direction", *WORDS))
    assert isinstance(mapping, Mapping)  # noqa: S101 -- _check has seen to it
    at_s = _time(mapping.get("at"))
    if at_s is None:
        raise SettingsError(f"{where}.at: {mapping.get('at')!r} is not {_A_TIME}, counted from the first packet")
    return Change(at_s, _values(mapping, where), read_direction(mapping.get("direction", "both"), f"{where}.direction"))


def read_direction(value: object, where: str) -> Direction | None:
    """None for both. Raises `SettingsError`."""
    if value == "both":
        return None
    if value not in tuple(Direction):
        raise SettingsError(f"{where}: {value!r} is not up (near to far), down or both")
    return Direction(str(value))


def _values(mapping: Mapping[str, Any], where: str) -> dict[str, float]:
    return {
        word.field: read_value(key, mapping[key], f"{where}.{key}") for key, word in WORDS.items() if key in mapping
    }


def _check(mapping: object, where: str, allowed: tuple[str, ...]) -> None:
    if not isinstance(mapping, Mapping):
        raise SettingsError(f"{where}: {mapping!r} is no mapping; allowed keys: {', '.join(allowed)}")
    for key in mapping:
        if key not in allowed:
            near = difflib.get_close_matches(str(key), allowed, n=1)
            hint = f"did you mean {near[0]}?" if near else f"allowed: {', '.join(allowed)}"
            raise SettingsError(f"{where}.{key} is unknown; {hint}")


def parse_changes(text: str, where: str) -> list[dict[str, str]]:
    """`10s rate=2mbit loss=1%, 20s rate=5mbit` as `parse_link` reads it. Raises `SettingsError`."""
    changes = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        at, *settings = part.split()
        pairs = [setting.partition("=") for setting in settings]
        if not pairs or not all(equals and value for _, equals, value in pairs):
            raise SettingsError(f"{where}: {part!r} is not a time and settings, such as 10s rate=2mbit loss=1%")
        changes.append({"at": at, **{key: value for key, _, value in pairs}})
    return changes
