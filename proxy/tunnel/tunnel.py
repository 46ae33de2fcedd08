"""What the proxy sees of a tunnel to one daemon, whatever carries it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from proxy.tunnel.exchange import CallHead, CallStatus, InitialMetadata, OutgoingCall


class TunnelState(Enum):
    """Whether calls can be made."""

    CONNECTING = auto()
    READY = auto()
    LOST = auto()


@dataclass(frozen=True, slots=True)
class DaemonLoad:
    """A daemon's last report."""

    calls: int = 0
    """Accepted and not finished, from all proxies."""
    draining: bool = False
    serving: bool = True
    """Whether the daemon's backends answer."""


UNBEGUN = ("x-headway-dropped-reason", "rejected-shutting-down")
"""Trailer of a daemon that drains: it has not begun on the call, so that another may be tried."""


class Tunnel(Protocol):
    """A way to one daemon."""

    @property
    def name(self) -> str:
        """The daemon's address, for messages and spans."""

    @property
    def state(self) -> TunnelState:
        """Whether calls can be made now."""

    @property
    def reason(self) -> str:
        """Why no call can be made, naming the daemon."""

    @property
    def load(self) -> DaemonLoad:
        """What the daemon reported last."""

    @property
    def calls(self) -> int:
        """Calls of ours that are under way there."""

    @property
    def silent(self) -> bool:
        """Whether nothing was heard of the daemon for longer than the path explains: it may be gone."""

    async def wait_settled(self) -> None:
        """Return once it is known whether the daemon can be reached."""

    def open(self, head: CallHead) -> OutgoingCall:
        """Start a call. If that is not possible, its `receive` says so."""

    def use_scheduler(self, name: str) -> None:
        """Order requests by another discipline. Raises ValueError for an unknown one."""

    async def close(self) -> None:
        """Give the tunnel up."""


class FailedCall:
    """An `OutgoingCall` that could not be started."""

    def __init__(self, status: CallStatus) -> None:
        self._status = status

    def __repr__(self) -> str:
        return f"<FailedCall {self._status.code} {self._status.message!r}>"

    @property
    def peer(self) -> str:
        """Nobody."""
        return ""

    async def send(self, message: bytes, *, last: bool = False) -> None:
        """Dropped."""

    async def close_sending(self) -> None:
        """Nothing to close."""

    async def receive(self) -> InitialMetadata | bytes | CallStatus:
        """Why the call could not be started."""
        return self._status

    def cancel(self) -> None:
        """Nothing to cancel."""
