"""The disciplines by name."""

from __future__ import annotations

from collections.abc import Callable

from policies.scheduling.absolute import AbsolutePriority
from policies.scheduling.adaptive import Adaptive
from policies.scheduling.base import Scheduler
from policies.scheduling.edf import EarliestDeadlineFirst
from policies.scheduling.fcfs import FirstComeFirstServed
from policies.scheduling.multilevel import MultiLevel
from policies.scheduling.round_robin import RoundRobin
from policies.scheduling.weighted import Weighted

SCHEDULERS: dict[str, Callable[[], Scheduler]] = {
    "rr": RoundRobin,
    "fcfs": FirstComeFirstServed,
    "edf": EarliestDeadlineFirst,
    "absolute": AbsolutePriority,
    "multilevel": MultiLevel,
    "weighted": Weighted,
    "adaptive": Adaptive,
}


def make_scheduler(name: str) -> Scheduler:
    """A new scheduler of the discipline `name`. Raises ValueError that lists the known ones."""
    try:
        return SCHEDULERS[name]()
    except KeyError:
        known = ", ".join(SCHEDULERS)
        raise ValueError(f"unknown scheduler {name!r}; known: {known}") from None
