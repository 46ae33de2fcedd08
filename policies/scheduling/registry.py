"""The disciplines by name."""

from __future__ import annotations

from collections.abc import Callable

from policies.scheduling.base import Scheduler
from policies.scheduling.edf import EarliestDeadlineFirst
from policies.scheduling.round_robin import RoundRobin

SCHEDULERS: dict[str, Callable[[], Scheduler]] = {
    "rr": RoundRobin,
    "edf": EarliestDeadlineFirst,
}


def make_scheduler(name: str) -> Scheduler:
    """A new scheduler of the discipline `name`. Raises ValueError that lists the known ones."""
    try:
        return SCHEDULERS[name]()
    except KeyError:
        known = ", ".join(SCHEDULERS)
        raise ValueError(f"unknown scheduler {name!r}; known: {known}") from None
