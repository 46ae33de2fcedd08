"""Measures several settings in turn, again and again, until each is known or has had its time.

Settings take turns so that a machine that slows down for a minute slows all of them, and no ratio between two of them
comes from that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from policies.profile_file import Point
from proxy.clock import Clock
from proxy.profiling.samples import is_known, point

Block = Callable[[], Awaitable[Mapping[str, Sequence[float]]]]
"""Measures a few times: seconds by kind of point."""

FEWEST_SAMPLES = 5
"""Of one setting, however long they take."""
MOST_SAMPLES = 400
"""Of one setting, however far its median is from known."""

Progress = Callable[[str, int], None]
"""Told of the kind and the setting that is measured next."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When to stop."""

    point_s: float = 5.0
    """Seconds that one setting is measured at most, beyond `FEWEST_SAMPLES`."""
    warm_up: int = 1
    """Blocks of each setting whose times are thrown away: a model's first batches of a size take longer."""


@dataclass(slots=True)
class Setting:
    """One thing to measure."""

    kind: str
    """Of the samples that decide when it is known; its blocks may give others too."""
    at: int
    block: Block
    samples: dict[str, list[float]] = field(default_factory=dict)
    spent_s: float = 0.0

    def add(self, found: Mapping[str, Sequence[float]], seconds: float) -> None:
        """What a block has found, in that time."""
        self.spent_s += seconds
        for kind, samples in found.items():
            self.samples.setdefault(kind, []).extend(samples)

    def goes_on(self, point_s: float) -> bool:
        """Whether it is to be measured again."""
        samples = self.samples.get(self.kind, [])
        if len(samples) < FEWEST_SAMPLES:
            return True
        return not is_known(samples) and len(samples) < MOST_SAMPLES and self.spent_s < point_s


async def measure(settings: Sequence[Setting], limits: Limits, *, clock: Clock, progress: Progress) -> list[Point]:
    """The points of each setting, in order. What the blocks raise ends it."""
    for setting in settings:
        for _ in range(limits.warm_up):
            progress(setting.kind, setting.at)
            await setting.block()
    while pending := [setting for setting in settings if setting.goes_on(limits.point_s)]:
        for setting in pending:
            progress(setting.kind, setting.at)
            began_at = clock.now()
            found = await setting.block()
            setting.add(found, clock.now() - began_at)
    return [point(kind, each.at, samples) for each in settings for kind, samples in each.samples.items() if samples]
