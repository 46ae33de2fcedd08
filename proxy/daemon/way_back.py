"""How long an answer is expected to travel from here to the proxy that the call came through.

Half the round trip of the proxy's tunnel, and what it takes to send an answer of the usual length at the rate that the
tunnel delivers. Other answers that leave at the same time are left out of account: the scheduler sends first what is
due first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

LOOK_EVERY_S = 0.1
"""Paths change within a few round trips; asking all tunnels costs some microseconds each."""
RECENT_WEIGHT = 0.2
"""Of the newest answer in the mean length."""


@dataclass(frozen=True, slots=True)
class TunnelPath:
    """What a tunnel has measured of its path."""

    rtt_s: float
    """Smoothed round trip."""
    rate_bytes_s: float = math.inf
    """What it delivers towards the proxy; infinite while nothing has shown its limit."""
    rtt_deviation_s: float = 0.0
    """Mean deviation of the round trip, RFC 9002's rttvar."""


ReadPaths = Callable[[], Mapping[str, TunnelPath]]
"""The paths of all tunnels, by the address of the proxy; those of which nothing is known are left out."""


def no_paths() -> Mapping[str, TunnelPath]:
    """Nothing is known of any tunnel."""
    return {}


class WaysBack:
    """Remembers the paths, and asks for them again when they may have changed."""

    def __init__(self, read: ReadPaths = no_paths) -> None:
        self._read = read
        self._paths: Mapping[str, TunnelPath] = {}
        self._look_at = -math.inf

    def __repr__(self) -> str:
        return f"<WaysBack {len(self._paths)} paths>"

    def expected_s(self, tunnel: str, answer_bytes: float, *, now: float) -> float:
        """Seconds for an answer of this length; 0 by a tunnel of which nothing is known."""
        path = self._path(tunnel, now)
        if path is None:
            return 0.0
        return path.rtt_s / 2 + (answer_bytes / path.rate_bytes_s if path.rate_bytes_s > 0 else 0.0)

    def deviation_s(self, tunnel: str, *, now: float) -> float:
        """Mean deviation of that; 0 by a tunnel of which nothing is known.

        Of a round trip whose two ways vary alike and independently, each has 1/√2 of the deviation.
        """
        path = self._path(tunnel, now)
        return 0.0 if path is None else path.rtt_deviation_s * math.sqrt(0.5)

    def _path(self, tunnel: str, now: float) -> TunnelPath | None:
        if not tunnel:
            return None
        if now >= self._look_at:
            self._look_at = now + LOOK_EVERY_S
            self._paths = self._read()
        return self._paths.get(tunnel)


class AnswerLengths:
    """The recent mean length of one route's answers, by class: of the first message, which is due at the deadline."""

    def __init__(self) -> None:
        self._bytes: dict[str, float] = {}

    def __repr__(self) -> str:
        return "<AnswerLengths " + " ".join(f"{name}={length:.0f}" for name, length in self._bytes.items()) + ">"

    def expected_bytes(self, traffic_class: str) -> float:
        """0 before the first answer."""
        return self._bytes.get(traffic_class, 0.0)

    def answered(self, traffic_class: str, length: int) -> None:
        """An answer of `length` bytes goes back."""
        known = self._bytes.get(traffic_class)
        self._bytes[traffic_class] = length if known is None else known + (length - known) * RECENT_WEIGHT
