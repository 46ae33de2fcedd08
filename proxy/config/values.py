"""What the values of the configuration may be: durations, sizes, addresses, names, files."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from proxy.config.sources import Node, nearest, shown

PORT_MAX = 65535

_DURATION = re.compile(r"(-?)(\d+(?:\.\d+)?) *(us|ms|s|m|h)")
_DURATION_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE = re.compile(r"(-?)(\d+(?:\.\d+)?) *(B|kB|KB|KiB|MB|MiB|GB|GiB)?")
_SIZE_UNITS = {
    "B": 1,
    "kB": 1000,
    "KB": 1000,
    "KiB": 1 << 10,
    "MB": 1000**2,
    "MiB": 1 << 20,
    "GB": 1000**3,
    "GiB": 1 << 30,
}
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\.?")


class Refused(Exception):  # noqa: N818 -- not an error of headway: it becomes a line about the file
    """A value is not one of its kind. `allowed` replaces the kind's own text where it says more."""

    def __init__(self, what: str, allowed: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.allowed = allowed


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port."""

    host: str
    """Name or IP address, IPv6 without its brackets."""
    port: int

    def __str__(self) -> str:
        """`host:port`, IPv6 in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host.lower().rstrip(".") == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class Available:
    """The names that this version has behind it, in the order in which messages list them."""

    schedulers: Sequence[str] = ("rr", "edf")
    policies: Sequence[str] = ("static", "round_robin", "least_loaded")
    congestion_controls: Sequence[str] = ("reno", "cubic", "bbr")


class Kind(Protocol):
    """What one key's value may be."""

    @property
    def allowed(self) -> str:
        """What a value may be, for messages and help."""

    def read(self, node: Node, available: Available) -> Any:
        """The value, or `Refused`."""


def _path(node: Node, text: str) -> Path:
    if not text or "\0" in text:
        raise Refused(f"{shown(node)} is not a path")
    try:
        return (node.origin.base / Path(text).expanduser()).absolute()
    except RuntimeError:  # `~name` of a user that does not exist
        raise Refused(f"{shown(node)} is not a path") from None


def _text(node: Node, *, otherwise: str) -> str:
    """The node's text. Numbers, dates and truth values of YAML are not text."""
    if not isinstance(node.value, str):
        raise Refused(f"{shown(node)} is not {otherwise}")
    return node.value.strip()


@dataclass(frozen=True, slots=True)
class Duration:
    """A time span; seconds as float."""

    above_zero: bool = True
    at_most_s: float = math.inf
    none: bool = False
    """Whether `none` means that there is no limit (`math.inf`)."""

    @property
    def allowed(self) -> str:
        least = "more than 0" if self.above_zero else "0 or more"
        most = "" if math.isinf(self.at_most_s) else f", at most {self.at_most_s:g}s"
        return f"a duration such as 50ms, 1.8s or 2m, {least}{most}{', or none' if self.none else ''}"

    def read(self, node: Node, available: Available) -> float:
        if self.none and node.value == "none":
            return math.inf
        match = _DURATION.fullmatch(node.text.strip())
        if match is None or isinstance(node.value, (dict, list)):
            if not isinstance(node.value, bool) and node.text.strip() in {"0", "0.0"} and not self.above_zero:
                return 0.0
            number = isinstance(node.value, (int, float)) and not isinstance(node.value, bool)
            raise Refused(f"{shown(node)} {'has no unit' if number else 'is not a duration'}")
        sign, digits, unit = match.groups()
        seconds = float(digits) * _DURATION_UNITS[unit]
        if sign and seconds:
            raise Refused(f"{shown(node)} is negative")
        if not seconds and self.above_zero:
            raise Refused(f"{shown(node)} is zero")
        if seconds > self.at_most_s:
            raise Refused(f"{shown(node)} is too long")
        return seconds


@dataclass(frozen=True, slots=True)
class Size:
    """An amount of bytes; int."""

    at_least: int = 1
    at_most: int = (1 << 31) - 1
    auto: bool = False
    """Whether `auto` (None) leaves the choice to headway."""

    @property
    def allowed(self) -> str:
        example = "auto, or a number of bytes" if self.auto else "a size such as 64KiB or 256MiB"
        return f"{example}, {self.at_least} to {self.at_most} bytes"

    def read(self, node: Node, available: Available) -> int | None:
        if self.auto and node.value == "auto":
            return None
        match = _SIZE.fullmatch(node.text.strip())
        if match is None or isinstance(node.value, (bool, dict, list)):
            raise Refused(f"{shown(node)} is not a size")
        sign, digits, unit = match.groups()
        size = float(digits) * _SIZE_UNITS[unit or "B"]
        if sign:
            raise Refused(f"{shown(node)} is negative")
        if size != int(size):
            raise Refused(f"{shown(node)} is not a whole number of bytes")
        if not self.at_least <= size <= self.at_most:
            raise Refused(f"{shown(node)} is out of range")
        return int(size)


@dataclass(frozen=True, slots=True)
class Number:
    """A number: int where `whole`, else float."""

    at_least: float = 0.0
    at_most: float = math.inf
    whole: bool = False

    @property
    def allowed(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        return (
            f"{kind}, {self.at_least:g} or more"
            if math.isinf(self.at_most)
            else f"{kind} from {self.at_least:g} to {self.at_most:g}"
        )

    def read(self, node: Node, available: Available) -> float:
        value = node.value
        if not node.origin.typed and isinstance(value, str):
            try:
                value = int(value) if self.whole else float(value)
            except ValueError:
                raise Refused(f"{shown(node)} is not a number") from None
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            raise Refused(f"{shown(node)} is text, not a number")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise Refused(f"{shown(node)} is not a number")
        if self.whole and value != int(value):
            raise Refused(f"{shown(node)} is not a whole number")
        if not self.at_least <= value <= self.at_most:
            raise Refused(f"{shown(node)} is {'negative' if value < 0 else 'out of range'}")
        return int(value) if self.whole else float(value)


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def allowed(self) -> str:
        return ", ".join(self.words)

    def read(self, node: Node, available: Available) -> str:
        if isinstance(node.value, str) and node.value in self.words:
            return node.value
        close = nearest(node.text, self.words)
        raise Refused(f"{shown(node)} is none of them{f', did you mean {close!r}?' if close else ''}")


@dataclass(frozen=True, slots=True)
class Registered:
    """A name of something that this version may or may not have: schedulers, congestion controls, policies."""

    what: str
    """Singular, for messages."""
    names: str
    """The field of `Available` that has those of this version."""
    planned: tuple[str, ...]
    """Every name that the contract knows, available in this version or not."""
    with_argument: tuple[str, ...] = ()
    """Names that are followed by a colon and the name of a model."""
    with_file: tuple[str, ...] = ()
    """Names that may be followed by a colon and a path, which is absolute once read."""

    @property
    def allowed(self) -> str:
        return ", ".join(self._shown(self.planned))

    def read(self, node: Node, available: Available) -> str:
        names = self._names(available)
        here = self.listed(available)
        text = node.value if isinstance(node.value, str) else ""
        name, colon, argument = text.partition(":")
        known = name in names or name in self.planned
        if not known:
            close = nearest(node.text, names)
            raise Refused(f"{shown(node)} is not a {self.what}{f', did you mean {close!r}?' if close else ''}", here)
        if name not in names:
            raise Refused(f"{shown(node)} is not available in this version", here)
        if name in self.with_file:
            return f"{name}:{_path(node, argument)}" if colon else name
        if bool(argument) != (name in self.with_argument) or bool(colon) != bool(argument):
            form = f"is written {name}:<model>" if name in self.with_argument else "takes no argument"
            raise Refused(f"{shown(node)}: {name} {form}", here)
        return text

    def listed(self, available: Available) -> str:
        """The names that this version has."""
        return ", ".join(self._shown(self._names(available)))

    def _names(self, available: Available) -> Sequence[str]:
        names: Sequence[str] = getattr(available, self.names)
        return names

    def _shown(self, names: Sequence[str]) -> list[str]:
        model, file = self.with_argument, self.with_file
        endings = {name: ":<model>" if name in model else "[:<file>]" if name in file else "" for name in names}
        return [f"{name}{ending}" for name, ending in endings.items()]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host and a port; `Address`."""

    any_port: bool = False
    """Whether port 0 may stand for one that the system picks, as in an address to listen on."""

    @property
    def allowed(self) -> str:
        return f"host:port, port {0 if self.any_port else 1} to {PORT_MAX}, IPv6 as [::1]:port in quotes"

    def read(self, node: Node, available: Available) -> Address:
        text = _text(node, otherwise="an address")
        host, colon, port = text.rpartition(":")
        if not colon or not host:
            raise Refused(f"'{text}' has no {'host' if colon else 'port'}")
        if not (port.isascii() and port.isdigit()) or not (0 if self.any_port else 1) <= int(port) <= PORT_MAX:
            raise Refused(f"'{text}' has no usable port")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
            try:
                ipaddress.IPv6Address(host)
            except ValueError:
                raise Refused(f"'{text}' is not an IPv6 address") from None
        elif not _HOST.fullmatch(host):
            raise Refused(f"'{text}' has no usable host")
        return Address(host, int(port))


@dataclass(frozen=True, slots=True)
class Url:
    """An address of the web; str."""

    @property
    def allowed(self) -> str:
        return "http://host:port/path or https://…"

    def read(self, node: Node, available: Available) -> str:
        text = _text(node, otherwise="a URL")
        try:
            parts = urlsplit(text)
            usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable or " " in text:
            raise Refused(f"'{text}' is not a URL")
        return text


@dataclass(frozen=True, slots=True)
class Name:
    """A name that the user chooses or a model's name; str."""

    @property
    def allowed(self) -> str:
        return "letters, digits, '.', '_' and '-', up to 128, starting with a letter or digit"

    def read(self, node: Node, available: Available) -> str:
        # A model called 7 is a name: YAML's numbers count as written.
        if isinstance(node.value, (dict, list)) or not _NAME.fullmatch(node.text):
            raise Refused(f"{shown(node)} is not a name")
        return node.text


@dataclass(frozen=True, slots=True)
class File:
    """A path, absolute once read; `Path`."""

    must_exist: bool = True

    @property
    def allowed(self) -> str:
        return "an existing file" if self.must_exist else "a path"

    def read(self, node: Node, available: Available) -> Path:
        return _path(node, _text(node, otherwise="a path"))
