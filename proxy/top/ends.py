"""What the processes have said lately. Pure: `at` and `now` are seconds on the viewer's monotonic clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from proxy.control.figures import counted
from proxy.pb.headway.v1 import control_pb2 as pb

RATE_WINDOW_S = 10.0
"""What rates and shares are of, once a process has been watched for so long. Some calls of a class that has one a
second are in it, and it follows a change within a few looks."""


class End:
    """One process that is looked at."""

    def __init__(self, name: str) -> None:
        self.name = name
        """Who it is, before it has said so itself: an address, with the role where the configuration has it."""
        self.error = ""
        """Why it can't be asked; empty while it can, and before the first answer."""
        self.heard_at: float | None = None
        """When the last status came, if it can be asked."""
        self._statuses: deque[pb.Status] = deque()

    def __repr__(self) -> str:
        return f"<End {self.name} {self.error or len(self._statuses)}>"

    @property
    def status(self) -> pb.Status | None:
        """The last one; None while the process can't be asked."""
        return self._statuses[-1] if self._statuses else None

    @property
    def rates(self) -> Rates | None:
        """What happened between the oldest status that is kept and the last one; None without two of them."""
        if len(self._statuses) < 2:  # noqa: PLR2004 -- from one to the other
            return None
        return Rates(self._statuses[0], self._statuses[-1])

    def heard(self, status: pb.Status, *, at: float) -> None:
        """The process told its status."""
        self.error = ""
        self.heard_at = at
        statuses = self._statuses
        if statuses and not _goes_on(statuses[-1], status):
            statuses.clear()
        statuses.append(status)
        while len(statuses) > 2 and statuses[1].clock_s <= status.clock_s - RATE_WINDOW_S:  # noqa: PLR2004
            statuses.popleft()

    def lost(self, error: str) -> None:
        """The process can't be asked any more. What it said before may be of another process than what it says next."""
        self.error = error
        self.heard_at = None
        self._statuses.clear()


def _goes_on(before: pb.Status, after: pb.Status) -> bool:
    """Whether both are of one process: its clock goes on, and no count has fallen."""
    counts = {one.name: counted(one) + one.cancelled for one in after.classes}
    return after.clock_s > before.clock_s and all(
        counted(one) + one.cancelled <= counts.get(one.name, 0) for one in before.classes
    )


@dataclass(frozen=True, slots=True)
class Rates:
    """What happened between two statuses of one process."""

    before: pb.Status
    after: pb.Status

    @property
    def seconds(self) -> float:
        """How long that was."""
        return self.after.clock_s - self.before.clock_s

    def calls(self, name: str) -> pb.ClassStatus:
        """How the calls of one class ended, cancelled ones left out."""
        before, after = _by_name(self.before).get(name), _by_name(self.after).get(name)
        if after is None:
            return pb.ClassStatus(name=name)
        before = before or pb.ClassStatus()
        return pb.ClassStatus(
            name=name,
            on_time=after.on_time - before.on_time,
            late=after.late - before.late,
            failed=after.failed - before.failed,
            refused=after.refused - before.refused,
        )

    def requests(self, route: str, candidate: pb.CandidateStatus) -> int:
        """How many requests of a route went to a candidate."""
        key = route, candidate.triton, candidate.model
        return max(candidate.requests - _requests(self.before).get(key, candidate.requests), 0)

    def worth(self, route: str) -> tuple[int, float]:
        """How many requests of a route ended, and the sum of the qualities of the answers in time."""
        (before, worth_before), (after, worth_after) = _worth(self.before, route), _worth(self.after, route)
        return max(after - before, 0), max(worth_after - worth_before, 0.0)

    def packets(self, tunnel: pb.TunnelStatus) -> tuple[int, int]:
        """How many packets a tunnel sent and how many of them it found lost; since its start for a new connection."""
        path = tunnel.path
        known = [one.path for one in self.before.tunnels if one.peer == tunnel.peer and one.HasField("path")]
        sent, lost = (known[0].sent_packets, known[0].lost_packets) if known else (0, 0)
        if path.sent_packets < sent or path.lost_packets < lost:
            sent = lost = 0
        return path.sent_packets - sent, path.lost_packets - lost


def _by_name(status: pb.Status) -> Mapping[str, pb.ClassStatus]:
    return {one.name: one for one in status.classes}


def _requests(status: pb.Status) -> Mapping[tuple[str, str, str], int]:
    return {(route.route, one.triton, one.model): one.requests for route in status.routes for one in route.candidates}


def _worth(status: pb.Status, route: str) -> tuple[int, float]:
    found = [one for each in status.routes if each.route == route for one in each.classes]
    return sum(one.requests for one in found), sum(one.worth for one in found)
