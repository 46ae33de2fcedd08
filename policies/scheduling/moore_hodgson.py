"""Which streams to give up so that the others are on time: Moore and Hodgson's rule, weighted.

Take the streams by deadline and add up what they need. Where one would be late, give up what is worth least for a byte
among those so far, and go on (Moore, 1968: with equal weights, and if nobody else comes, no other choice has more of
them on time). With unequal weights it is a heuristic, which two steps improve: a stream that makes enough room on its
own goes instead of several that are worth more together (as in the greedy covering of Csirik, Frenk, Labbé and Zhang,
1991), and what was given up comes back if there is room for it after all.

Cost: O(n) while everything fits, else O(n log n), and O(n) for each that comes back, `_RETURN_STEPS` in all.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from typing import NamedTuple

_RETURN_STEPS = 8000
"""How many places may be passed over to let streams come back: each that does costs a pass over all. Past that they
stay given up until the next plan."""


class Need(NamedTuple):
    """What one stream needs of the link, and by when."""

    unsent_bytes: float
    room_bytes: float
    """What the link carries from now until the stream's last byte must have left."""
    weight: float


def given_up(needs: Sequence[Need]) -> list[int]:
    """The indices of those to give up, ascending; `needs` come by deadline."""
    total = 0.0
    for need in needs:
        total += need.unsent_bytes
        if total > need.room_bytes:
            break
    else:
        return []
    dropped = _prune(needs)
    _take_back(needs, dropped)
    return sorted(dropped)


def _prune(needs: Sequence[Need]) -> set[int]:
    kept = _Kept()
    dropped: set[int] = set()
    total = 0.0
    for index, need in enumerate(needs):
        if need.unsent_bytes > need.room_bytes:
            dropped.add(index)  # too late even with the link to itself
            continue
        kept.push(index, need)
        total += need.unsent_bytes
        if total > need.room_bytes:
            for victim in kept.pop_cover(total - need.room_bytes):
                dropped.add(victim)
                total -= needs[victim].unsent_bytes
    return dropped


_Item = tuple[float, float, int, float]  # worth of a byte, minus bytes, index, weight


class _Kept:
    """Those kept so far: a heap for each octave of weight, with what is worth least for a byte on top.

    Within an octave that is also about the largest, so the tops are all that need looking at for one that makes room
    on its own.
    """

    def __init__(self) -> None:
        self._octaves: dict[int, list[_Item]] = {}

    def push(self, index: int, need: Need) -> None:
        octave = self._octaves.setdefault(math.frexp(need.weight)[1], [])
        heapq.heappush(octave, (need.weight / need.unsent_bytes, -need.unsent_bytes, index, need.weight))

    def pop_cover(self, excess: float) -> list[int]:
        """Take out streams that have `excess` bytes together and are worth little; none of them is superfluous."""
        several: list[tuple[list[_Item], _Item]] = []
        cost = 0.0
        best: tuple[float, float, int, list[_Item]] | None = None  # cost, minus bytes, how many of `several`, the last
        while True:
            least: list[_Item] | None = None
            for octave in self._octaves.values():
                if not octave:
                    continue
                top = octave[0]
                if -top[1] >= excess:
                    if best is None or (cost + top[3], top[1]) < best[:2]:
                        best = (cost + top[3], top[1], len(several), octave)
                elif least is None or top < least[0]:
                    least = octave
            if least is None or (best is not None and cost + least[0][3] >= best[0]):
                break
            item = heapq.heappop(least)
            several.append((least, item))
            cost += item[3]
            excess += item[1]
        count, last = best[2:] if best is not None else (len(several), None)
        for octave, item in several[count:]:
            heapq.heappush(octave, item)
        victims = [item[2] for _, item in several[:count]]
        if last is not None:
            victims.append(heapq.heappop(last)[2])
        return victims


def _take_back(needs: Sequence[Need], dropped: set[int]) -> None:
    """Keep again what fits between the others after all, the weightiest first."""
    candidates = sorted(dropped, key=lambda index: (-needs[index].weight, needs[index].unsent_bytes, index))
    ends, spare = _spare(needs, dropped)
    returns = _RETURN_STEPS // len(needs)
    for index in candidates:
        if returns == 0:
            return
        need = needs[index]
        if ends[index] + need.unsent_bytes <= need.room_bytes and need.unsent_bytes <= spare[index]:
            dropped.discard(index)
            returns -= 1
            ends, spare = _spare(needs, dropped)


def _spare(needs: Sequence[Need], dropped: set[int]) -> tuple[list[float], list[float]]:
    """For each place what the kept ones up to it need, and what could come before the later ones without harm."""
    ends = []
    total = 0.0
    for index, need in enumerate(needs):
        if index not in dropped:
            total += need.unsent_bytes
        ends.append(total)
    spare = [math.inf] * len(needs)
    least = math.inf
    for index in range(len(needs) - 1, -1, -1):
        if index not in dropped:
            least = min(least, needs[index].room_bytes - ends[index])
        spare[index] = least
    return ends, spare
