"""Both directions of a link, and what changes as time passes; pure, `now` comes with each call."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ops.link.lane import Lane, Packet
from ops.link.settings import Direction, LinkSettings
from ops.link.statistics import LinkStatistics


class Model:
    """The link without its devices. Same seed, same packets at the same times: the same fates."""

    def __init__(self, settings: LinkSettings, *, seed: int, now: float) -> None:
        self._settings = settings
        self._changes = sorted(settings.changes, key=lambda change: change.at_s)
        self._done = 0
        self._origin_at: float | None = None
        self._counted_from = now
        self.lanes = {
            direction: Lane(settings.towards(direction), seed=seed, direction=direction) for direction in Direction
        }

    def __repr__(self) -> str:
        return f"<Model {' '.join(map(repr, self.lanes.values()))} changes={self._done}/{len(self._changes)}>"

    def enter(self, direction: Direction, data: bytes, *, now: float) -> Packet:
        """A packet enters; the first one starts the clock of the changes."""
        if self._origin_at is None:
            self._origin_at = now
        self._catch_up(now)
        return self.lanes[direction].enter(data, now=now)

    def arrived(self, direction: Direction, *, now: float) -> list[Packet]:
        """What has come out, in order."""
        self._catch_up(now)
        return self.lanes[direction].arrived(now=now)

    def next_at(self) -> float:
        """When something comes out or changes next; math.inf: not before another packet enters."""
        return min(self._next_change_at(), *(lane.next_at() for lane in self.lanes.values()))

    def change(self, values: Mapping[str, float], *, direction: Direction | None, now: float) -> None:
        """Other values from now on, until a change in the settings says otherwise. Raises `SettingsError`."""
        self._catch_up(now)
        lanes = [lane for lane in self.lanes.values() if direction in {None, lane.direction}]
        for lane, settings in [(lane, lane.settings.with_values(values)) for lane in lanes]:
            lane.change(settings, now=now)

    def restart_clock(self, *, now: float) -> None:
        """Back to the settings of the start; their changes come again, counted from now."""
        self._catch_up(now)
        for direction, lane in self.lanes.items():
            lane.change(self._settings.towards(direction), now=now)
        self._origin_at = now
        self._done = 0
        self._catch_up(now)

    def statistics(self, *, now: float, reset: bool = False) -> LinkStatistics:
        """Since the start or the last reset; `reset` counts from nothing after this."""
        self._catch_up(now)
        up, down = (lane.statistics() for lane in self.lanes.values())
        rate_bits_s = self.lanes[Direction.UP].settings.rate_bits_s
        statistics = LinkStatistics(now - self._counted_from, up, down, rate_bits_s)
        if reset:
            self._counted_from = now
            for lane in self.lanes.values():
                lane.reset_statistics()
        return statistics

    def _next_change_at(self) -> float:
        if self._origin_at is None or self._done == len(self._changes):
            return math.inf
        return self._origin_at + self._changes[self._done].at_s

    def _catch_up(self, now: float) -> None:
        while (at := self._next_change_at()) <= now:
            change = self._changes[self._done]
            self._done += 1
            for lane in self.lanes.values():
                if change.direction in {None, lane.direction}:
                    lane.change(lane.settings.with_values(change.values), now=at)
