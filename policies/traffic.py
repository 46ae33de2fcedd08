"""Traffic classes and deadlines.

The vocabulary that schedulers, selection policies and both ends of the tunnel share.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

Level = Literal["high", "low"]
OnMiss = Literal["deliver", "fail"]

NO_DEADLINE = math.inf
"""The deadline of work that has none: later than every other one, so that ordering needs no special case."""


@dataclass(frozen=True, slots=True)
class TrafficClass:
    """What requests of one kind ask of the link and of the models.

    `deadline_s` and `token_deadline_s` are relative, in seconds: the time from the request's arrival at the proxy to
    its answer, and the time from one message of a token stream to the next.
    """

    name: str
    deadline_s: float
    """Seconds from arrival at the proxy to the answer; `math.inf` for none."""
    token_deadline_s: float = NO_DEADLINE
    """Seconds from one message of an answer to the next; `math.inf` for none."""
    priority: int = 0
    """Level for strict priority, 0 first."""
    level: Level = "low"
    """Which of the two levels of the multi-level scheduler serves the class."""
    weight: float = 1.0
    """What a request of this class is worth when it is on time."""
    on_miss: OnMiss = "deliver"
    """What happens to an answer that is late for the class's deadline: delivered all the same, or failed at the
    deadline."""


class Deadline(NamedTuple):
    """Until when one call is to be answered, on this process's monotonic clock, in seconds.

    `target_at` is what the class (or `x-deadline-ms`) asks for and what schedulers order by; `limit_at` is the gRPC
    deadline, which is enforced. `target_at` is never later than `limit_at`.
    """

    target_at: float = NO_DEADLINE
    limit_at: float = NO_DEADLINE

    def slack_s(self, *, now: float) -> float:
        """Seconds left until the target; negative once it is missed, `math.inf` without one."""
        return self.target_at - now

    def shifted(self, offset_s: float) -> Deadline:
        """The same instants on a clock that reads `offset_s` seconds more than this one."""
        return Deadline(self.target_at + offset_s, self.limit_at + offset_s)


def call_deadline(
    traffic_class: TrafficClass,
    *,
    now: float,
    asked_s: float | None = None,
    limit_s: float | None = None,
) -> Deadline:
    """Combine what bears on one call into its deadline.

    `asked_s` is the request's own deadline (`x-deadline-ms`), which replaces the class's; `limit_s` is what is left of
    the gRPC deadline, which caps both. All in seconds from `now`.
    """
    limit_at = NO_DEADLINE if limit_s is None else now + limit_s
    target_at = now + (traffic_class.deadline_s if asked_s is None else asked_s)
    return Deadline(min(target_at, limit_at), limit_at)
