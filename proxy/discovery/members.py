"""Which tunnels to open, retire and close, given those there are and the addresses that the name has now."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from proxy.config import Address

RETRY_S = 1.0
"""From one resolution to the next where it is urgent: a pod that is replaced is in DNS within seconds."""


@dataclass(frozen=True, slots=True)
class Member:
    """A daemon that has a tunnel."""

    ready: bool
    """Whether calls can be made there now."""
    retired: bool
    """Whether it takes no new calls."""
    calls: int
    """Ours, under way there."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be done, each in the order of the addresses."""

    join: tuple[Address, ...] = ()
    """New: each gets a tunnel."""
    restore: tuple[Address, ...] = ()
    """Named again before they were closed: they take calls again."""
    retire: tuple[Address, ...] = ()
    """Gone: they get no new calls."""
    close: tuple[Address, ...] = ()
    """Gone, and no call is under way any more."""


def changes(members: Mapping[Address, Member], named: Collection[Address]) -> Changes:
    """What to do about `members` when the name has the addresses `named`.

    A daemon that is gone from the name and can still be reached is retired only once one that is named can be reached:
    it is better to be served by a daemon on its way out than by none.
    """
    gone = [(address, member) for address, member in members.items() if address not in named]
    replaced = any(members[address].ready for address in named if address in members)
    return Changes(
        join=tuple(address for address in dict.fromkeys(named) if address not in members),
        restore=tuple(address for address in named if address in members and members[address].retired),
        retire=tuple(address for address, member in gone if not member.retired and (replaced or not member.ready)),
        close=tuple(address for address, member in gone if member.retired and member.calls == 0),
    )


def wait_s(interval_s: float, *, urgent: bool, luck: float) -> float:
    """How long after one resolution the next one is due.

    `urgent`: a daemon was lost since, or none can be reached. `luck`, from 0 to 1, keeps proxies that were started
    together from asking together: a fifth of the interval, either way.
    """
    spread_s = interval_s * (0.8 + 0.4 * luck)
    return min(RETRY_S, spread_s) if urgent else spread_s
