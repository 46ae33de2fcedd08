"""What a link is like: rate, delay, loss and so on, for each direction and over time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any

from ops.link.errors import SettingsError


class Direction(StrEnum):
    """Which way a packet goes."""

    UP = "up"
    """From near to far."""
    DOWN = "down"
    """From far to near."""


@dataclass(frozen=True, slots=True)
class Change:
    """Other values from some moment on."""

    at_s: float
    """After the first packet, or after the link's clock was set anew."""
    values: Mapping[str, float]
    """Fields of `LinkSettings` and what they are from then on."""
    direction: Direction | None = None
    """The direction that changes; None: both."""

    def __post_init__(self) -> None:
        if not 0 <= self.at_s < math.inf:
            raise SettingsError(f"changes: at_s is {self.at_s!r}; allowed: 0 s or more after the first packet")
        _check_names(self.values, "changes")


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """Both directions alike, but for what `down` says. Shares are of all packets, from 0 to 1.

    A packet's way: loss, then the queue in front of the wire (`queue_bytes`), the wire (`rate_bits_s`), the way
    (`delay_s`, `jitter_s`, `reorder`, `duplicate`). Raises `SettingsError`.
    """

    rate_bits_s: float = math.inf
    """Counts the bytes of IP packets, headers included. 0: nothing leaves the queue."""
    delay_s: float = 0.0
    """Each way, after the queue."""
    jitter_s: float = 0.0
    """The delay is drawn evenly from `delay_s` ± this, never below 0; packets keep their order."""
    loss: float = 0.0
    """Drawn before the queue, as netem does: a lost packet takes no capacity."""
    loss_burst: float = 1.0
    """Mean length of a run of losses, in packets (Gilbert's two states); 1: each packet on its own."""
    reorder: float = 0.0
    """Share of packets that are held up by `reorder_delay_s` while those behind them pass."""
    reorder_delay_s: float = 0.01
    """At 5 Mbit/s four packets of 1500 bytes pass in 10 ms: more than the three that TCP and QUIC wait for before they
    call a packet lost (RFC 5681 section 3.2, RFC 9002 section 6.1.1)."""
    duplicate: float = 0.0
    """Share of packets that arrive twice, the copy right behind; it takes no capacity."""
    queue_bytes: float = 65536
    """What may wait for the wire; a packet that does not fit is dropped. The packet on the wire does not count."""
    mtu_bytes: float = 1500
    """A longer packet is dropped without a word. The devices at the ends have this MTU too, as it is at the start."""
    changes: tuple[Change, ...] = ()
    down: Mapping[str, float] = field(default_factory=dict)
    """Fields that are otherwise from far to near."""

    def __post_init__(self) -> None:
        for name, (least, most, allowed) in _RANGES.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
                raise SettingsError(f"{name} is {value!r}; allowed: {allowed}")
        if self.loss < 1 and self.loss_burst > 1 and self.loss_burst * (1 - self.loss) < self.loss:
            least_burst = self.loss / (1 - self.loss)
            raise SettingsError(
                f"loss_burst is {self.loss_burst!r}; allowed at a loss of {self.loss:g}: 1, or {least_burst:g} and more"
            )
        if self.down:
            _check_names(self.down, "down")
            self.towards(Direction.DOWN)
        self._check_changes()

    def _check_changes(self) -> None:
        for direction in Direction if self.changes else ():
            settings = self.towards(direction)
            for change in sorted(self.changes, key=lambda one: one.at_s):
                if change.direction in {None, direction}:
                    settings = settings.with_values(change.values)

    def towards(self, direction: Direction) -> LinkSettings:
        """One direction's settings at the start, without its changes."""
        values = self.down if direction is Direction.DOWN else {}
        return replace(self, changes=(), down={}, **_typed(values))

    def with_values(self, values: Mapping[str, float]) -> LinkSettings:
        """The same with these fields. Raises `SettingsError`."""
        _check_names(values, "changes")
        return replace(self, **_typed(values))


_SHARE = (0.0, 1.0, "a share from 0 to 1")
_TIME = (0.0, 3600.0, "0 to 3600 seconds")
_RANGES: dict[str, tuple[float, float, str]] = {
    "rate_bits_s": (0.0, math.inf, "0 or more bits a second, or math.inf"),
    "delay_s": _TIME,
    "jitter_s": _TIME,
    "loss": _SHARE,
    "loss_burst": (1.0, math.inf, "1 packet or more"),
    "reorder": _SHARE,
    "reorder_delay_s": _TIME,
    "duplicate": _SHARE,
    "queue_bytes": (0.0, math.inf, "0 or more bytes"),
    "mtu_bytes": (68, 65535, "68 (RFC 791) to 65535 bytes"),
}

CHANGEABLE = tuple(_RANGES)
"""The fields that may differ between the directions, and change while a link is up."""


def _check_names(values: Mapping[str, float], where: str) -> None:
    for name in values:
        if name not in CHANGEABLE:
            raise SettingsError(f"{where}: {name} is none of {', '.join(CHANGEABLE)}")


def _typed(values: Mapping[str, float]) -> dict[str, Any]:
    """For `replace`, whose keywords differ in type."""
    return dict(values)


def as_json(settings: LinkSettings) -> dict[str, Any]:
    """For another process and for results; `from_json` reads it."""
    values: dict[str, Any] = {item.name: getattr(settings, item.name) for item in fields(settings)}
    values["down"] = dict(settings.down)
    values["changes"] = [
        {"at_s": change.at_s, "values": dict(change.values), "direction": change.direction}
        for change in settings.changes
    ]
    return values


def from_json(values: Mapping[str, Any]) -> LinkSettings:
    """What `as_json` wrote."""
    changes = tuple(
        Change(one["at_s"], one["values"], Direction(one["direction"]) if one["direction"] else None)
        for one in values["changes"]
    )
    return LinkSettings(**{**values, "changes": changes})
