"""The port that stream schedulers implement.

A connection tells its scheduler which streams have something to send and asks, packet by packet, whom to serve. Streams
that are idle, blocked by flow control or finished are not known to the scheduler, so that they cost nothing. HTTP/3's
own streams and the tunnel's control call do not come here either: they always go first.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

from policies.traffic import NO_DEADLINE, Level

NO_DEADLINE_WAIT_S = 30.0
"""How long work without a deadline, which is never late, may be passed over, in seconds from its arrival. From then on
each scheduler sees to it that it gets on, in the way that the scheduler's docstring says. Linux' deadline I/O scheduler
bounds writes by 5 s; network calls live longer."""


class StreamOrder(NamedTuple):
    """What a scheduler may know of one stream."""

    stream_id: int
    arrived_at: float
    """When the call, or its answer, became ready to be sent; seconds, monotonic."""
    deadline: float = NO_DEADLINE
    """When what the stream now has to send is due; seconds, monotonic; `math.inf` for none."""
    priority: int = 0
    """Level for strict priority, 0 first."""
    level: Level = "low"
    """Level for the multi-level discipline."""
    weight: float = 1.0
    """What being on time is worth."""
    answer_s: float = 0.0
    """What passes, at the least, after the last byte has left and beyond `PathEstimate.delivery_s`, until the deadline
    is met: for a request, the time that its answer takes to come into being."""

    @property
    def due_at(self) -> float:
        """The deadline, or for work that has none the end of the longest wait it may be put through."""
        return self.deadline if self.deadline < NO_DEADLINE else self.arrived_at + NO_DEADLINE_WAIT_S

    def is_late(self, *, now: float) -> bool:
        """True once the deadline has passed. Work without a deadline is never late."""
        return self.deadline < now


class PathEstimate(NamedTuple):
    """What the connection measures of the way that the streams share."""

    rate_bytes_s: float = math.inf
    """Stream bytes that the path delivers a second; `math.inf` as long as nothing is known."""
    rtt_s: float = 0.0
    """Smoothed round trip."""
    delivery_s: float = 0.0
    """From the last byte's departure to the moment that its deadline is measured by: half a round trip for answers;
    for requests the way back comes on top."""


class Scheduler(Protocol):
    """Orders the streams that have something to send.

    Streams are compared by their `StreamOrder`; ties go to the earlier arrival.
    """

    @property
    def name(self) -> str:
        """The discipline's name in configuration, traces and metrics."""

    def add(self, order: StreamOrder, *, unsent_bytes: int, now: float) -> None:
        """The stream has `unsent_bytes` to send from now on.

        For a stream already known: its order or its size has changed.
        """

    def next(self, *, now: float) -> int | None:
        """The stream to serve next, or None when there is none.

        Asking changes nothing: the same answer until `served` or `remove`.
        """

    def served(self, stream_id: int, *, sent_bytes: int, now: float) -> None:
        """The stream has just filled a packet with `sent_bytes` and still has more to send."""

    def remove(self, stream_id: int) -> None:
        """The stream has nothing to send any more. Unknown streams are ignored."""

    def on_path(self, path: PathEstimate, *, now: float) -> None:
        """The path has been measured anew: before packets are made, when there is something to send."""

    def __len__(self) -> int:
        """How many streams have something to send."""

    def log_data(self, *, now: float) -> dict[str, str | int | float]:
        """Numbers for traces and metrics, without a fixed set of keys."""
