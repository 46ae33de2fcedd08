"""The settings as the command line shows them: flag, variable, help and default, from the records themselves."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from proxy.config.dns_names import DaemonEndpoint
from proxy.config.fields import Field, default_of, docs_of, fields_of
from proxy.config.records import (
    DaemonSettings,
    FileSettings,
    Items,
    Named,
    ProxySettings,
    Record,
    Role,
    TelemetrySettings,
)
from proxy.config.sources import ENVIRONMENT_PREFIX
from proxy.config.values import Duration, Endpoint, File, Name, Number, OneOf, Registered, Size, Url

_SECTIONS: dict[Role, type[Any]] = {"proxy": ProxySettings, "daemon": DaemonSettings}

_METAVARS: dict[type[Any], str] = {
    DaemonEndpoint: "HOST:PORT",
    Duration: "DURATION",
    Endpoint: "HOST:PORT",
    File: "PATH",
    Name: "NAME",
    Number: "NUMBER",
    Size: "SIZE",
    Url: "URL",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """One key with a flag of its own."""

    key: str
    """The key's path in the file, joined by dots."""
    flag: str
    metavar: str
    help: str
    """What it does, with the default."""

    @property
    def variable(self) -> str:
        """The variable of the environment that sets it."""
        return ENVIRONMENT_PREFIX + self.key.replace(".", "__").upper()


def settings_of(role: Role) -> tuple[Setting, ...]:
    """The settings that a command has flags for: the plain values of its section, the top level and telemetry.

    Classes, routes and tritons hold names that the user chose; `--set` reaches them.
    """
    found: dict[str, Setting] = {}
    for record, path in ((_SECTIONS[role], role), (FileSettings, ""), (TelemetrySettings, "telemetry")):
        for setting in _settings(record, path, "--"):
            # Of two keys with one name the section's own wins in the process, so it is the one to set.
            found.setdefault(setting.flag, setting)
    return tuple(found.values())


def _settings(record: type[Any], path: str, prefix: str) -> Iterator[Setting]:
    for item in fields_of(record):
        key = f"{path}.{item.key}" if path else item.key
        flag = prefix + item.key.replace("_", "-")
        if isinstance(item.kind, Record):
            if path:  # the sections themselves are not flags
                yield from _settings(item.kind.record, key, f"{flag}-")
        elif not isinstance(item.kind, Named):
            yield Setting(key, flag, _metavar(item), _help(record, item))


def _metavar(item: Field) -> str:
    kind = item.kind
    if isinstance(kind, Items):
        return f"{_METAVARS[type(kind.item)]},…"
    if isinstance(kind, OneOf):
        return "|".join(kind.words)
    return "NAME" if isinstance(kind, Registered) else _METAVARS[type(kind)]


def _help(record: type[Any], item: Field) -> str:
    text = docs_of(record)[item.attribute].rstrip(".")
    if isinstance(item.kind, Items):
        text += ", joined by commas"
    if item.required:
        return f"{text}."
    default = _shown(item, default_of(record, item.attribute))
    return f"{text}. Default: {default}." if default else f"{text}."


def _shown(item: Field, value: object) -> str:
    """A default as it would be written in the file; empty where the docstring says what none means."""
    if isinstance(item.kind, Size):
        return "auto" if value is None else _size(int(str(value)))
    if value is None:
        return ""
    if isinstance(item.kind, Duration):
        return _duration(float(str(value)))
    if isinstance(item.kind, File):
        return str(value).rpartition("/")[2]
    return str(value)


def _size(size: int) -> str:
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size % unit == 0:
            return f"{size // unit}{name}"
    return f"{size}B"


def _duration(seconds: float) -> str:
    if math.isinf(seconds):
        return "none"
    return f"{seconds * 1000:g}ms" if seconds < 1 else f"{seconds:g}s"
